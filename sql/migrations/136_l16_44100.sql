-- L16/44100 is a codec as well.

CREATE OR REPLACE FUNCTION pbx.is_codec_list(codecs text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(cardinality(codecs) BETWEEN 1 AND 8 AND array_ndims(codecs) = 1 AND array_position(codecs, NULL) IS NULL
        AND codecs <@ '{opus,G722,PCMA,PCMU,GSM,G729,L16/8000,L16/16000,L16/44100,L16/48000,G726-16,G726-24,G726-32,G726-40,AAL2-G726-16,AAL2-G726-24,AAL2-G726-32,AAL2-G726-40}'::text[]
        AND (SELECT count(DISTINCT c) = count(*) FROM unnest(codecs) AS c), false);

COMMENT ON COLUMN pbx.extension.codecs IS 'The codecs that its phones are offered and may agree on, the best first. What the other side of the call shares comes before the others, so that nothing need be transcoded. Of opus, G722, PCMA, PCMU, GSM, L16/8000, L16/16000, L16/44100, L16/48000, G726-16 to G726-40, AAL2-G726-16 to AAL2-G726-40, and G729 where the server is built with it.';
