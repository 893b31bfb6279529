-- ICE (RFC 8445): with whom media find their way by checks, as browsers demand.

ALTER TABLE pbx.extension
    ADD COLUMN ice text NOT NULL DEFAULT 'auto' CHECK (ice IN ('never', 'auto', 'offer'));
COMMENT ON COLUMN pbx.extension.ice IS 'Do its phones and Cordboard find the way of their media by ICE? never: not. auto: where the phone offers it, and calls to one that is registered by WebSocket, a browser, offer it. offer: calls to all its phones offer it. Cordboard is a lite agent (RFC 8445): it has to be reachable at the address it names, which is that of its listener or the external one.';

ALTER TABLE pbx.trunk
    ADD COLUMN ice text NOT NULL DEFAULT 'auto' CHECK (ice IN ('never', 'auto', 'offer'));
COMMENT ON COLUMN pbx.trunk.ice IS 'Do it and Cordboard find the way of their media by ICE? As of extension.';
