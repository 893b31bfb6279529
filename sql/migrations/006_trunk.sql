-- The world outside: trunks and the numbers that come in over them.

CREATE TABLE pbx.trunk (
    domain        text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    name          text NOT NULL,
    context       text NOT NULL,
    uri           text CHECK (uri ~ '^sips?:[^[:space:]<>"]+$'),
    auth_user     text,
    auth_password text,
    call_limit    integer CHECK (call_limit >= 0),
    enabled       boolean NOT NULL DEFAULT true,
    PRIMARY KEY (domain, name),
    CONSTRAINT trunk_is_a_short_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE,
    CONSTRAINT user_and_password_come_together CHECK ((auth_user IS NULL) = (auth_password IS NULL))
);
COMMENT ON TABLE pbx.trunk IS 'A SIP peer that is not a phone: a provider, a gateway, another exchange.';
COMMENT ON COLUMN pbx.trunk.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk.name IS 'Its name.';
COMMENT ON COLUMN pbx.trunk.context IS 'What calls that come in over it may dial.';
COMMENT ON COLUMN pbx.trunk.uri IS 'Where calls to it go: sip:host:port;transport=tcp. NULL: none go out.';
COMMENT ON COLUMN pbx.trunk.auth_user IS 'Name with which Cordboard answers its challenges; NULL: it asks for none.';
COMMENT ON COLUMN pbx.trunk.auth_password IS 'The password. It must be kept in clear, because the peer''s realm is not known beforehand.';
COMMENT ON COLUMN pbx.trunk.call_limit IS 'How many calls at once; NULL: no limit.';
COMMENT ON COLUMN pbx.trunk.enabled IS 'false: no calls in or out.';

CREATE TABLE pbx.trunk_address (
    domain  text NOT NULL,
    name    text NOT NULL,
    address cidr NOT NULL,
    PRIMARY KEY (domain, name, address),
    FOREIGN KEY (domain, name) REFERENCES pbx.trunk ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT address_belongs_to_one_trunk UNIQUE (address)
);
COMMENT ON TABLE pbx.trunk_address IS 'Source addresses from which a trunk calls without credentials. The longest prefix that contains an address decides.';
COMMENT ON COLUMN pbx.trunk_address.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_address.name IS 'The trunk.';
COMMENT ON COLUMN pbx.trunk_address.address IS 'An address or network. Of all domains together, each belongs to one trunk.';

CREATE TABLE pbx.inbound_number (
    number text PRIMARY KEY,
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    target text NOT NULL,
    CONSTRAINT number_is_digits_perhaps_after_a_plus CHECK (number ~ '^\+?[0-9]{1,32}$')
);
COMMENT ON TABLE pbx.inbound_number IS 'Public numbers and where their calls go.';
COMMENT ON COLUMN pbx.inbound_number.number IS 'The number as trunks send it.';
COMMENT ON COLUMN pbx.inbound_number.domain IS 'The domain it belongs to.';
COMMENT ON COLUMN pbx.inbound_number.target IS 'Number dialled then, in the domain''s default context.';
CREATE INDEX inbound_number_domain ON pbx.inbound_number (domain);
COMMENT ON INDEX pbx.inbound_number_domain IS 'Public numbers of a domain.';

CALL pbx.change_watch('pbx.trunk', 'trunk', 'domain', 'name');
CALL pbx.change_watch('pbx.trunk_address', 'trunk', 'domain', 'name');
CALL pbx.change_watch('pbx.inbound_number', 'inbound_number', 'number');
