-- What tones a caller hears: of dialling, ringing, being busy, country by country (ITU-T E.180).

CREATE FUNCTION pbx.is_cadence(cadence text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(cadence ~ '^\d{2,4}([+*]\d{1,4})?$'
        OR cadence ~ '^\d{2,4}([+*]\d{1,4})?/[1-9]\d{0,4}(/\d{1,5})?( \d{2,4}([+*]\d{1,4})?/[1-9]\d{0,4}(/\d{1,5})?){0,7}$'
           AND (SELECT bool_and(n::int <= 65535) FROM regexp_matches(cadence, '/(\d+)', 'g') AS m, unnest(m) AS n), false);
COMMENT ON FUNCTION pbx.is_cadence IS 'True for a cadence: one to eight tones with a blank between them, each as hertz/ms/ms of silence after it: ''425/1000/4000''. Two frequencies at once are 400+450, one whose loudness another moves is 400*25. A frequency alone goes on without end. After the last tone the first follows.';

CREATE TABLE pbx.tone_plan (
    plan                text PRIMARY KEY CHECK (plan ~ '^[a-z0-9_-]{1,32}$'),
    name                text NOT NULL,
    dial                text NOT NULL CHECK (pbx.is_cadence(dial)),
    ringback            text NOT NULL CHECK (pbx.is_cadence(ringback)),
    busy                text NOT NULL CHECK (pbx.is_cadence(busy)),
    congestion          text NOT NULL CHECK (pbx.is_cadence(congestion)),
    call_waiting        text NOT NULL CHECK (pbx.is_cadence(call_waiting)),
    special_information text NOT NULL CHECK (pbx.is_cadence(special_information)),
    source              text NOT NULL DEFAULT ''
);
COMMENT ON TABLE pbx.tone_plan IS 'The tones of a country, or of one''s own. A plan is chosen by domain.tones and trunk.tones. Cadences are written as is_cadence() says.';
COMMENT ON COLUMN pbx.tone_plan.plan IS 'Its name: for a country the two letters of ISO 3166-1; itu is what E.180 recommends to countries.';
COMMENT ON COLUMN pbx.tone_plan.name IS 'Name for people.';
COMMENT ON COLUMN pbx.tone_plan.dial IS 'A number may be dialled.';
COMMENT ON COLUMN pbx.tone_plan.ringback IS 'It rings at the other end.';
COMMENT ON COLUMN pbx.tone_plan.busy IS 'The other end is busy.';
COMMENT ON COLUMN pbx.tone_plan.congestion IS 'There is no way to the other end now.';
COMMENT ON COLUMN pbx.tone_plan.call_waiting IS 'Somebody else is calling.';
COMMENT ON COLUMN pbx.tone_plan.special_information IS 'Something else than busy or congestion, as an announcement may say: no such number.';
COMMENT ON COLUMN pbx.tone_plan.source IS 'Where that is laid down.';
CALL pbx.change_watch('pbx.tone_plan', 'tone_plan', 'plan');

INSERT INTO pbx.tone_plan VALUES
    ('itu', 'International (E.180 §3 to §9)', '425', '425/1000/4000', '425/500/500', '425/250/250', '425/200/600 425/200/3000', '950/330/30 1400/330/30 1800/330/1000', 'ITU-T E.180 (03/98)'),
    ('at', 'Austria', '420', '420/1000/5000', '420/400/400', '420/200/200', '420/40/1960', '950/330 1450/330 1850/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('au', 'Australia', '413+438', '413+438/400/200 413+438/400/2000', '425/375/375', '425/375/375 420/375/375', '425/200/200 425/200/4400', '425/2500/500', 'ACIF S002'),
    ('be', 'Belgium', '425', '425/1000/3000', '425/500/500', '425/167/167', '1400/175/175 1400/175/3500', '900/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('bg', 'Bulgaria', '425', '425/1000/4000', '425/500/500', '425/250/250', '425/150/150 425/150/4000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('br', 'Brazil', '425', '425/1000/4000', '425/250/250', '425/250/250 425/750/250', '425/50/1000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('ca', 'Canada', '350+440', '440+480/2000/4000', '480+620/500/500', '480+620/250/250', '440/300/10000', '950/330 1400/330 1800/330/1000', 'Telcordia SR-2275'),
    ('ch', 'Switzerland', '425', '425/1000/4000', '425/500/500', '425/200/200', '425/200/200 425/200/4000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('cl', 'Chile', '400', '400/1000/3000', '400/500/500', '400/200/200', '400/250/8750', '950/333 1400/333 1800/333/1000', 'CTC Chile'),
    ('cn', 'China', '450', '450/1000/4000', '450/350/350', '450/700/700', '450/400/4000', '450/100/100 450/100/100 450/100/100 450/400/400', 'ITU-T E.180 Suppl. 2'),
    ('cz', 'Czechia', '425/330/330 425/660/660', '425/1000/4000', '425/330/330', '425/165/165', '425/330/9000', '950/330/30 1400/330/30 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('de', 'Germany', '425', '425/1000/4000', '425/480/480', '425/240/240', '425/200/200 425/200/5000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('dk', 'Denmark', '425', '425/1000/4000', '425/500/500', '425/200/200', '425/200/600 425/200/3000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('es', 'Spain', '425', '425/1500/3000', '425/200/200', '425/200/200 425/200/200 425/200/600', '425/175/175 425/175/3500', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('fi', 'Finland', '425', '425/1000/4000', '425/300/300', '425/200/200', '425/150/150 425/150/8000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('fr', 'France', '440', '440/1500/3500', '440/500/500', '440/250/250', '440/300/10000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('gb', 'United Kingdom', '350+440', '400+450/400/200 400+450/400/2000', '400/375/375', '400/400/350 400/225/525', '400/100/4000', '950/330/15 1400/330/15 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('gr', 'Greece', '425/200/300 425/700/800', '425/1000/4000', '425/300/300', '425/200/200', '425/150/150 425/150/8000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('hu', 'Hungary', '425', '425/1250/3750', '425/300/300', '425/300/300', '425/40/1960', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('id', 'Indonesia', '425', '425/1000/4000', '425/500/500', '425/250/250', '425/150/150 425/150/10000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('ie', 'Ireland', '425', '400+450/400/200 400+450/400/2000', '425/500/500', '425/250/250', '425/180/200 425/200/4500', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('il', 'Israel', '414', '414/1000/3000', '414/500/500', '414/250/250', '414/100/100 414/100/100 414/600/3000', '1000/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('in', 'India', '400*25', '400*25/400/200 400*25/400/2000', '400/750/750', '400/250/250', '400/200/100 400/200/7500', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('it', 'Italy', '425/200/200 425/600/1000', '425/1000/4000', '425/500/500', '425/200/200', '425/400/100 425/250/100 425/150/14000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('jp', 'Japan', '400', '400*16/1000/2000', '400/500/500', '400/500/500', '400*16/500/8000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('kr', 'South Korea', '350+440', '440+480/1000/2000', '480+620/500/500', '480+620/300/200', '350+440/250/250 350+440/250/3250', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('lt', 'Lithuania', '425', '425/1000/4000', '425/350/350', '425/200/200', '425/150/150 425/150/4000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('mx', 'Mexico', '425', '425/1000/4000', '425/250/250', '425/250/250', '425/200/600 425/200/10000', '950/330/30 1400/330/30 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('nl', 'Netherlands', '425', '425/1000/4000', '425/500/500', '425/250/250', '425/500/9500', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('no', 'Norway', '425', '425/1000/4000', '425/500/500', '425/200/200', '425/200/600 425/200/10000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('nz', 'New Zealand', '400', '400+450/400/200 400+450/400/2000', '400/500/500', '400/250/250', '400/200/3000', '400/750/100 400/750/100 400/750/100 400/750/400', 'Telepermit TNA 102'),
    ('pl', 'Poland', '425', '425/1000/4000', '425/500/500', '425/500/500', '425/150/150 425/150/4000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('pt', 'Portugal', '425', '425/1000/5000', '425/500/500', '425/200/200', '440/300/10000', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('ru', 'Russia', '425', '425/800/3200', '425/400/400', '425/200/200', '425/200/5000', '950/330/30 1400/330/30 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('se', 'Sweden', '425', '425/1000/5000', '425/250/250', '425/250/750', '425/200/500 425/200/9100', '950/332/24 1400/332/24 1800/332/2024', 'ITU-T E.180 Suppl. 2'),
    ('sg', 'Singapore', '425', '425*24/400/200 425*24/400/2000', '425/750/750', '425/250/250', '425*24/300/200 425*24/300/3200', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2'),
    ('tr', 'Turkey', '450', '450/2000/4000', '450/500/500', '450/200/200 450/200/200 450/200/200 450/600/200', '450/200/600 450/200/8000', '950/300 1400/300 1800/300/1000', 'ITU-T E.180 Suppl. 2'),
    ('tw', 'Taiwan', '350+440', '440+480/1000/2000', '480+620/500/500', '480+620/250/250', '350+440/250/250 350+440/250/3250', '300/1500/500', 'ITU-T E.180 Suppl. 2'),
    ('us', 'United States', '350+440', '440+480/2000/4000', '480+620/500/500', '480+620/250/250', '440/300/10000', '950/330 1400/330 1800/330/1000', 'Telcordia SR-2275'),
    ('za', 'South Africa', '400*33', '400*33/400/200 400*33/400/2000', '400/500/500', '400/250/250', '400*33/250/250 400*33/250/3250', '950/330 1400/330 1800/330/1000', 'ITU-T E.180 Suppl. 2');

ALTER TABLE pbx.domain ADD COLUMN tones text NOT NULL DEFAULT 'itu' REFERENCES pbx.tone_plan ON UPDATE CASCADE;
COMMENT ON COLUMN pbx.domain.tones IS 'The tone plan whose tones callers of the domain hear, where Cordboard itself makes the sound.';
ALTER TABLE pbx.trunk ADD COLUMN tones text REFERENCES pbx.tone_plan ON UPDATE CASCADE;
COMMENT ON COLUMN pbx.trunk.tones IS 'The tone plan of who comes by it; NULL: the domain''s.';
