-- Feature codes as rows: a view of routes of one context, which whoever may use them includes.

CREATE VIEW pbx.feature_code AS
SELECT r.domain, r.pattern AS code, s.app, s.args, r.name, r.enabled
FROM pbx.route AS r JOIN pbx.step AS s ON (s.domain, s.context, s.pattern, s.position) = (r.domain, r.context, r.pattern, 1)
WHERE r.context = 'feature';
COMMENT ON VIEW pbx.feature_code IS 'Codes that do something, like *97 for one''s voicemail: insert, change and delete them here. They are routes of the context "feature", which is made with the first one and included by the domain''s default context; other contexts may include it, or some of it, too.';
COMMENT ON COLUMN pbx.feature_code.domain IS 'The domain.';
COMMENT ON COLUMN pbx.feature_code.code IS 'What is dialled, or a pattern (see pbx.pattern_valid()): _*21X.';
COMMENT ON COLUMN pbx.feature_code.app IS 'The application that it runs, one of pbx.app.';
COMMENT ON COLUMN pbx.feature_code.args IS 'Its arguments, as of pbx.step.args: {"mailbox": "${caller}"}.';
COMMENT ON COLUMN pbx.feature_code.name IS 'Name for people.';
COMMENT ON COLUMN pbx.feature_code.enabled IS 'false: as if it were not there.';

CREATE FUNCTION pbx.feature_code_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM pbx.route WHERE (domain, context, pattern) = (OLD.domain, 'feature', OLD.code);
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' THEN
        IF NEW.domain <> OLD.domain THEN
            RAISE EXCEPTION 'feature code %/%: it stays in its domain', OLD.domain, OLD.code USING ERRCODE = 'check_violation';
        END IF;
        UPDATE pbx.route SET pattern = NEW.code, name = coalesce(NEW.name, ''), enabled = coalesce(NEW.enabled, true)
        WHERE (domain, context, pattern) = (OLD.domain, 'feature', OLD.code);
        UPDATE pbx.step SET app = NEW.app, args = coalesce(NEW.args, '{}')
        WHERE (domain, context, pattern, position) = (NEW.domain, 'feature', NEW.code, 1);
        RETURN NEW;
    END IF;
    INSERT INTO pbx.context (domain, context, name) VALUES (NEW.domain, 'feature', 'Feature codes') ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO pbx.context_include (domain, context, position, included)
        SELECT d.domain, d.default_context, coalesce((SELECT max(i.position) FROM pbx.context_include AS i
                                                      WHERE (i.domain, i.context) = (d.domain, d.default_context)), 0) + 1, 'feature'
        FROM pbx.domain AS d WHERE d.domain = NEW.domain AND d.default_context <> 'feature';
    END IF;
    INSERT INTO pbx.route (domain, context, pattern, name, enabled) VALUES (NEW.domain, 'feature', NEW.code, coalesce(NEW.name, ''), coalesce(NEW.enabled, true));
    INSERT INTO pbx.step (domain, context, pattern, position, app, args) VALUES (NEW.domain, 'feature', NEW.code, 1, NEW.app, coalesce(NEW.args, '{}'));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.feature_code_write() IS 'Trigger: writes a feature code as the route and step that it is.';
CREATE TRIGGER feature_code_write INSTEAD OF INSERT OR UPDATE OR DELETE ON pbx.feature_code
    FOR EACH ROW EXECUTE FUNCTION pbx.feature_code_write();
