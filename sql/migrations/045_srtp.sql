-- Encrypted media (SRTP, RFC 3711): who is offered it, and of whom it is demanded.

ALTER TABLE pbx.extension
    ADD COLUMN srtp text NOT NULL DEFAULT 'offer' CHECK (srtp IN ('never', 'offer', 'require')),
    ADD COLUMN srtp_keys_in_clear boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.extension.srtp IS 'Are its calls encrypted between its phones and Cordboard? never: not, and a phone that insists on it is refused (488). offer: where the phone can; it is offered beside plain RTP (RFC 8643), and what a phone offers is taken. require: else there is no call (488). What the other side of a call does is its own affair.';
COMMENT ON COLUMN pbx.extension.srtp_keys_in_clear IS 'true: keys may stand in descriptions (a=crypto, RFC 4568) that pass over UDP, TCP or WS, where whoever reads the signalling can read the media. false: over TLS and WSS alone; elsewhere a=crypto is neither offered nor taken.';

ALTER TABLE pbx.trunk
    ADD COLUMN srtp text NOT NULL DEFAULT 'offer' CHECK (srtp IN ('never', 'offer', 'require')),
    ADD COLUMN srtp_keys_in_clear boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.trunk.srtp IS 'Are calls encrypted between it and Cordboard? As of extension.';
COMMENT ON COLUMN pbx.trunk.srtp_keys_in_clear IS 'true: keys may stand in descriptions that pass in the clear. As of extension.';
