-- Session timers (RFC 4028): how a call is noticed whose other end has gone without a word.

ALTER TABLE pbx.domain
    ADD COLUMN session_expires_s integer NOT NULL DEFAULT 1800
        CONSTRAINT session_expires_is_0_or_at_least_90_s CHECK (session_expires_s = 0 OR session_expires_s BETWEEN 90 AND 86400),
    ADD COLUMN session_min_s integer NOT NULL DEFAULT 90
        CONSTRAINT session_min_is_at_least_90_s CHECK (session_min_s BETWEEN 90 AND 86400);
COMMENT ON COLUMN pbx.domain.session_expires_s IS 'Calls are refreshed within so many seconds, and ended when the other side no longer answers (Session-Expires). 0: only where the other side asks for it.';
COMMENT ON COLUMN pbx.domain.session_min_s IS 'The shortest interval that others may ask for (Min-SE).';

ALTER TABLE pbx.trunk
    ADD COLUMN session_expires_s integer
        CONSTRAINT session_expires_is_0_or_at_least_90_s CHECK (session_expires_s = 0 OR session_expires_s BETWEEN 90 AND 86400);
COMMENT ON COLUMN pbx.trunk.session_expires_s IS 'Calls over it are refreshed within so many seconds; 0: only where it asks for it. NULL: as the domain says.';
