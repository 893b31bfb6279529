-- Headers that a trunk is told, or that its calls carry here, whatever the other side says.

ALTER TABLE pbx.pass_header
    ADD COLUMN value text,
    ADD CONSTRAINT value_is_one_line CHECK (value !~ '[[:cntrl:]]' AND length(value) <= 512);
COMMENT ON COLUMN pbx.pass_header.value IS 'NULL: it passes as it comes. A text: each call to the trunk (out) has it with this value, or each call from it (in: Alert-Info for a ringing of its own), and what the other side wrote there is left out. Empty: it never passes, not even one that always does.';
COMMENT ON TABLE pbx.pass_header IS 'Headers that are passed from one side of a call to the other, besides those that always are (User-to-User, Subject, Priority ...), set, or held back. Headers that describe one dialog, or who is authenticated, are refused.';
