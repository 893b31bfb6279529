-- How the keys of encrypted media are agreed on: in descriptions (SDES, RFC 4568), or by a handshake between the ends (DTLS-SRTP, RFC 5763).

ALTER TABLE pbx.extension ADD COLUMN srtp_keys text NOT NULL DEFAULT 'any' CHECK (srtp_keys IN ('any', 'sdes', 'dtls'));
COMMENT ON COLUMN pbx.extension.srtp_keys IS 'How keys of encrypted calls are agreed on, where srtp isn''t never. sdes: in descriptions (a=crypto), see srtp_keys_in_clear. dtls: by DTLS-SRTP, whose fingerprints may stand in descriptions that others read, though not in such that others can change. any: as the phone offers it; Cordboard offers a=crypto where keys may stand in descriptions, DTLS over WS and WSS, to browsers, and where srtp is require and keys may not.';

ALTER TABLE pbx.trunk ADD COLUMN srtp_keys text NOT NULL DEFAULT 'any' CHECK (srtp_keys IN ('any', 'sdes', 'dtls'));
COMMENT ON COLUMN pbx.trunk.srtp_keys IS 'How keys of encrypted calls are agreed on. As of extension.';

COMMENT ON COLUMN pbx.extension.srtp IS 'Are its calls encrypted between its phones and Cordboard? never: not, and a phone that insists on it is refused (488). offer: where the phone can; it is offered beside plain RTP (RFC 8643), and what a phone offers is taken. require: else there is no call (488). How, says srtp_keys. What the other side of a call does is its own affair.';

ALTER TABLE pbx.cdr_leg ADD COLUMN media_security text CHECK (media_security IN ('sdes', 'dtls'));
COMMENT ON COLUMN pbx.cdr_leg.media_security IS 'How the keys of its encrypted media (SRTP) were agreed on, the last time: sdes in descriptions, dtls by a handshake. NULL: what was said was not encrypted.';
