-- Servers fetch changed rows by their keys as pbx.change tells them, "office/1001": of the tables that grow with the number of
-- users each is found by an index, so that one edit costs the same in a large company.

CREATE INDEX extension_change_key ON pbx.extension ((domain || '/' || number));
COMMENT ON INDEX pbx.extension_change_key IS 'Rows by their key in pbx.change.';
CREATE INDEX credential_change_key ON pbx.credential ((domain || '/' || auth_name));
COMMENT ON INDEX pbx.credential_change_key IS 'Rows by their key in pbx.change.';
CREATE INDEX forward_change_key ON pbx.forward ((domain || '/' || number || '/' || reason));
COMMENT ON INDEX pbx.forward_change_key IS 'Rows by their key in pbx.change.';
CREATE INDEX mailbox_change_key ON pbx.mailbox ((domain || '/' || number));
COMMENT ON INDEX pbx.mailbox_change_key IS 'Rows by their key in pbx.change.';
CREATE INDEX route_change_key ON pbx.route ((domain || '/' || context || '/' || pattern));
COMMENT ON INDEX pbx.route_change_key IS 'Rows by their key in pbx.change.';
