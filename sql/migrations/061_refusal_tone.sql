-- Callers hear why they aren't answered.

ALTER TABLE pbx.extension ADD COLUMN refusal_tone_s integer CHECK (refusal_tone_s BETWEEN 1 AND 60);
COMMENT ON COLUMN pbx.extension.refusal_tone_s IS 'When a call of it fails it hears for so many seconds, before the status, a tone that says why: busy (486, 600, 603), special information (404, 410, 484, 604) or congestion, of the domain''s tone plan. For phones that make none by themselves. NULL: no.';
ALTER TABLE pbx.trunk ADD COLUMN refusal_tone_s integer CHECK (refusal_tone_s BETWEEN 1 AND 60);
COMMENT ON COLUMN pbx.trunk.refusal_tone_s IS 'As of an extension, for calls that come by this trunk: for gateways that pass on sound but no status. Of the trunk''s tone plan.';
