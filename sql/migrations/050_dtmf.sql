-- How the digits that somebody presses travel to and from a phone or a trunk.

ALTER TABLE pbx.extension
    ADD COLUMN dtmf text NOT NULL DEFAULT 'auto' CHECK (dtmf IN ('auto', 'rfc4733', 'info', 'inband'));
COMMENT ON COLUMN pbx.extension.dtmf IS 'How digits pressed in a call travel to and from its phones. auto: as telephone events (RFC 4733) where the phone has them, else as tones; INFO is taken, too, and tones are listened for by menus and the like, while a call between two passes them as sound. rfc4733: as telephone events alone. info: as SIP INFO alone, both ways. inband: as tones alone; they are listened for in every call, and made into what the other side takes: that costs decoding each packet, and delays the sound by 80 ms where the other side takes no tones.';

ALTER TABLE pbx.trunk
    ADD COLUMN dtmf text NOT NULL DEFAULT 'auto' CHECK (dtmf IN ('auto', 'rfc4733', 'info', 'inband'));
COMMENT ON COLUMN pbx.trunk.dtmf IS 'How digits travel to and from it. As of extension.';
