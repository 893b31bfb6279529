-- Video, and what else calls carry besides sound.

ALTER TABLE pbx.extension
    ADD COLUMN video boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN pbx.extension.video IS 'May calls of its phones carry more than sound: video, slides, text in real time, the control of a camera? true: what one side offers by RTP is offered to the other, and its packets pass as they are, if the other one may as well. false: it is refused, and offered to nobody here; the sound isn''t touched by that.';

ALTER TABLE pbx.trunk
    ADD COLUMN video boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN pbx.trunk.video IS 'May calls by it carry more than sound? As of extension. false also keeps INVITEs small for a provider that only drops the rest.';
