-- Exchanges that register once for many numbers (RFC 6140), and phones that are told of voicemail unasked.

ALTER TABLE pbx.extension
    ADD COLUMN bulk_registers  boolean NOT NULL DEFAULT false,
    ADD COLUMN bulk_account    text,
    ADD COLUMN mwi_unsolicited boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT bulk_account_exists FOREIGN KEY (domain, bulk_account) REFERENCES pbx.extension (domain, number) ON UPDATE CASCADE,
    ADD CONSTRAINT bulk_account_is_another CHECK (bulk_account IS NULL OR (bulk_account <> number AND NOT bulk_registers));
COMMENT ON COLUMN pbx.extension.bulk_registers IS 'true: it is an exchange, and may register (Require: gin, contact with bnc) for all extensions that name it as bulk_account.';
COMMENT ON COLUMN pbx.extension.bulk_account IS 'The extension of the exchange that registers for this number: calls to it go there as long as no phone registers for it itself, and the exchange may call as this number. NULL: none.';
COMMENT ON COLUMN pbx.extension.mwi_unsolicited IS 'true: its phones are told of new voicemail without having subscribed, for those that can''t.';
CREATE INDEX extension_bulk ON pbx.extension (domain, bulk_account) WHERE bulk_account IS NOT NULL;
COMMENT ON INDEX pbx.extension_bulk IS 'Numbers of an exchange.';

ALTER TABLE pbx.trunk
    ADD COLUMN register_bulk boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.trunk.register_bulk IS 'true: it is registered for all numbers that the provider has given us, at once (RFC 6140); calls then come in to each of them. contact_user counts for nothing.';

COMMENT ON COLUMN pbx.subscription.package IS 'Event package: dialog (lamps), presence, message-summary, reg (its own registrations).';
