-- Phrases, prompts of a domain's own, and music.

CREATE TABLE pbx.phrase (
    language text NOT NULL,
    phrase   text NOT NULL CHECK (phrase ~ '^[A-Za-z0-9][A-Za-z0-9_/.-]*$'),
    says     text NOT NULL DEFAULT '',
    PRIMARY KEY (language, phrase)
);
COMMENT ON TABLE pbx.phrase IS 'Phrases that come with Cordboard (prompts/<language>/phrases.tsv), registered at start so that prompts can be checked.';
COMMENT ON COLUMN pbx.phrase.language IS 'Language.';
COMMENT ON COLUMN pbx.phrase.phrase IS 'Name of the phrase.';
COMMENT ON COLUMN pbx.phrase.says IS 'What is spoken.';

CREATE FUNCTION pbx.phrase_register(language text, doc jsonb) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.phrase AS p WHERE p.language = $1 AND NOT $2 ? p.phrase;
    INSERT INTO pbx.phrase AS p (language, phrase, says) SELECT $1, key, value FROM jsonb_each_text($2)
    ON CONFLICT ON CONSTRAINT phrase_pkey DO UPDATE SET says = excluded.says WHERE p.says <> excluded.says
$$;
COMMENT ON FUNCTION pbx.phrase_register(text, jsonb) IS 'Replaces the phrases of a language by those of {"phrase": "what it says", ...}.';

CREATE TABLE pbx.prompt (
    domain  text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    name    text NOT NULL,
    says    text NOT NULL DEFAULT '',
    path    text,
    sound   bytea,
    changed timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, name),
    CONSTRAINT prompt_is_a_short_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    CONSTRAINT prompt_has_a_path_or_a_sound CHECK (num_nonnulls(path, sound) = 1),
    CONSTRAINT path_stays_below_the_prompts CHECK (path !~ '(^/|(^|/)\.\.(/|$)|^$)')
);
COMMENT ON TABLE pbx.prompt IS 'Recordings of a domain''s own. A prompt hides the phrase of the same name.';
COMMENT ON COLUMN pbx.prompt.domain IS 'The domain.';
COMMENT ON COLUMN pbx.prompt.name IS 'Name by which menus and steps play it.';
COMMENT ON COLUMN pbx.prompt.says IS 'What is spoken, for people.';
COMMENT ON COLUMN pbx.prompt.path IS 'A file below the prompts folder; NULL: the sound is in the row.';
COMMENT ON COLUMN pbx.prompt.sound IS 'A WAV file; NULL: it is at path.';
COMMENT ON COLUMN pbx.prompt.changed IS 'When it was last changed.';

CREATE FUNCTION pbx.prompt_missing(domain text, prompts text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(quote_literal(w), ', ' ORDER BY n)
    FROM unnest(string_to_array($2, '&')) WITH ORDINALITY AS u(w, n)
    WHERE NOT EXISTS (SELECT FROM pbx.prompt AS p WHERE p.domain = $1 AND p.name = w)
      AND NOT EXISTS (SELECT FROM pbx.phrase AS p WHERE p.phrase = w)
      -- Before a server or `make run` has registered phrases there is nothing to check against.
      AND (w = '' OR EXISTS (SELECT FROM pbx.phrase))
$$;
COMMENT ON FUNCTION pbx.prompt_missing(text, text) IS 'Which of some prompts, written with & between them, are neither a prompt of the domain nor a phrase; NULL: none is missing.';

CREATE TABLE pbx.music_class (
    domain text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    class  text NOT NULL,
    name   text,
    PRIMARY KEY (domain, class),
    CONSTRAINT class_is_a_short_name CHECK (class ~ '^[A-Za-z0-9._-]{1,63}$')
);
COMMENT ON TABLE pbx.music_class IS 'Music on hold: a list of files, heard one after the other, by all listeners together.';
COMMENT ON COLUMN pbx.music_class.domain IS 'The domain.';
COMMENT ON COLUMN pbx.music_class.class IS 'Name of the class.';
COMMENT ON COLUMN pbx.music_class.name IS 'Name for people.';

CREATE TABLE pbx.music_file (
    domain   text NOT NULL,
    class    text NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    path     text NOT NULL,
    PRIMARY KEY (domain, class, position),
    FOREIGN KEY (domain, class) REFERENCES pbx.music_class ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT path_stays_below_the_prompts CHECK (path !~ '(^/|(^|/)\.\.(/|$)|^$)')
);
COMMENT ON TABLE pbx.music_file IS 'The files of a class.';
COMMENT ON COLUMN pbx.music_file.domain IS 'The domain.';
COMMENT ON COLUMN pbx.music_file.class IS 'The class.';
COMMENT ON COLUMN pbx.music_file.position IS 'Order of play.';
COMMENT ON COLUMN pbx.music_file.path IS 'A file below the prompts folder.';

ALTER TABLE pbx.domain ADD CONSTRAINT music_class_exists
    FOREIGN KEY (domain, music_class) REFERENCES pbx.music_class (domain, class)
    ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pbx.extension ADD CONSTRAINT music_class_exists
    FOREIGN KEY (domain, music_class) REFERENCES pbx.music_class (domain, class)
    ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED;

CALL pbx.change_watch('pbx.prompt', 'prompt', 'domain', 'name');
CALL pbx.change_watch('pbx.music_class', 'music_class', 'domain', 'class');
CALL pbx.change_watch('pbx.music_file', 'music_class', 'domain', 'class');
