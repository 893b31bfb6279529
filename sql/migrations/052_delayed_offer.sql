-- Calls that begin without a description of ours: the phone or trunk offers, and we answer (RFC 3261 §13.2.1).

ALTER TABLE pbx.extension
    ADD COLUMN delayed_offer text NOT NULL DEFAULT 'never' CHECK (delayed_offer IN ('never', 'follow', 'always'));
COMMENT ON COLUMN pbx.extension.delayed_offer IS 'Which calls to its phones go without an offer of media, so that the phone offers in its answer, or before in a reliable response, and Cordboard answers in the ACK or PRACK. never: none. follow: those whose caller has offered nothing either. always: all.';

ALTER TABLE pbx.trunk
    ADD COLUMN delayed_offer text NOT NULL DEFAULT 'never' CHECK (delayed_offer IN ('never', 'follow', 'always'));
COMMENT ON COLUMN pbx.trunk.delayed_offer IS 'Which calls to it go without an offer of media, so that it offers in its answer. As of extension.';
