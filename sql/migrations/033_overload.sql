-- Trunks that say in the Via when they have too much to do (RFC 7339, RFC 7415).

ALTER TABLE pbx.trunk
    ADD COLUMN overload_control boolean NOT NULL DEFAULT false,
    ADD COLUMN urgent_numbers text[] NOT NULL DEFAULT '{110,112,911,999}',
    ADD CONSTRAINT urgent_numbers_are_numbers CHECK (array_position(urgent_numbers, NULL) IS NULL);
COMMENT ON COLUMN pbx.trunk.overload_control IS 'true: it is offered overload control by the Via (RFC 7339, loss; RFC 7415, rate). While it asks for less, as many new calls as it wants to be spared aren''t sent to it: they fail with 503 at once, so that the route''s next step can take them elsewhere. Calls in progress aren''t touched.';
COMMENT ON COLUMN pbx.trunk.urgent_numbers IS 'Numbers, as sent to it, that are sent however much it has to do: of emergency services.';
