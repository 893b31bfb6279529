-- Digest authentication: SHA-512-256 beside MD5 and SHA-256 (RFC 7616, RFC 8760), and which qualities of protection are offered.

-- PostgreSQL has SHA-512, but not the variant of it that has its own start value (FIPS 180-4 section 5.3.6.2). A password is set
-- seldom, so a few milliseconds don't matter.

CREATE FUNCTION pbx.add64(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (((a >> 32) + (b >> 32) + (((a & 4294967295) + (b & 4294967295)) >> 32)) << 32) | (((a & 4294967295) + (b & 4294967295)) & 4294967295)
$$;
COMMENT ON FUNCTION pbx.add64(bigint, bigint) IS 'Sum of two 64-bit words, without its carry.';

CREATE FUNCTION pbx.rotate64(a bigint, bits integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ((a >> bits) & ~((-1)::bigint << (64 - bits))) | (a << (64 - bits))
$$;
COMMENT ON FUNCTION pbx.rotate64(bigint, integer) IS 'A 64-bit word rotated to the right by 1 to 63 bits.';

CREATE FUNCTION pbx.words64(hex text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(('x' || substr(hex, 16 * i + 1, 16))::bit(64)::bigint ORDER BY i) FROM generate_series(0, length(hex) / 16 - 1) AS i
$$;
COMMENT ON FUNCTION pbx.words64(text) IS '64-bit words from hex.';

CREATE FUNCTION pbx.sha512_256(message bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    k constant bigint[] := pbx.words64(
        '428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc3956c25bf348b538' ||
        '59f111f1b605d019923f82a4af194f9bab1c5ed5da6d8118d807aa98a303024212835b0145706fbe' ||
        '243185be4ee4b28c550c7dc3d5ffb4e272be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235' ||
        'c19bf174cf692694e49b69c19ef14ad2efbe4786384f25e30fc19dc68b8cd5b5240ca1cc77ac9c65' ||
        '2de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5983e5152ee66dfab' ||
        'a831c66d2db43210b00327c898fb213fbf597fc7beef0ee4c6e00bf33da88fc2d5a79147930aa725' ||
        '06ca6351e003826f142929670a0e6e7027b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed' ||
        '53380d139d95b3df650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353b' ||
        'a2bfe8a14cf10364a81a664bbc423001c24b8b70d0f89791c76c51a30654be30d192e819d6ef5218' ||
        'd69906245565a910f40e35855771202a106aa07032bbd1b819a4c116b8d2d0c81e376c085141ab53' ||
        '2748774cdf8eeb9934b0bcb5e19b48a8391c0cb3c5c95a634ed8aa4ae3418acb5b9cca4f7763e373' ||
        '682e6ff3d6b2b8a3748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec' ||
        '90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532bca273eceea26619c' ||
        'd186b8c721c0c207eada7dd6cde0eb1ef57d4f7fee6ed17806f067aa72176fba0a637dc5a2c898a6' ||
        '113f9804bef90dae1b710b35131c471b28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc' ||
        '431d67c49c100d4c4cc5d4becb3e42b6597f299cfc657e2a5fcb6fab3ad6faec6c44198c4a475817');
    h bigint[] := pbx.words64(
        '22312194fc2bf72c9f555fa3c84c64c22393b86b6f53b151963877195940eabd' ||
        '96283ee2a88effe3be5e1e25538639922b0199fc2c85b8aa0eb72ddc81c52ca2');
    padded bytea := message || '\x80' || decode(repeat('00', (239 - length(message) % 128) % 128), 'hex') || int8send(0) || int8send(8 * length(message)::bigint);
    v bigint[];
    w bigint[];
    t1 bigint;
    t2 bigint;
BEGIN
    FOR block IN 0 .. length(padded) / 128 - 1 LOOP
        w := pbx.words64(encode(substr(padded, 128 * block + 1, 128), 'hex'));
        FOR i IN 17 .. 80 LOOP
            t1 := pbx.rotate64(w[i - 15], 1) # pbx.rotate64(w[i - 15], 8) # ((w[i - 15] >> 7) & ~((-1)::bigint << 57));
            t2 := pbx.rotate64(w[i - 2], 19) # pbx.rotate64(w[i - 2], 61) # ((w[i - 2] >> 6) & ~((-1)::bigint << 58));
            w[i] := pbx.add64(pbx.add64(w[i - 16], t1), pbx.add64(w[i - 7], t2));
        END LOOP;
        v := h;
        FOR i IN 1 .. 80 LOOP
            t1 := pbx.add64(pbx.add64(v[8], pbx.rotate64(v[5], 14) # pbx.rotate64(v[5], 18) # pbx.rotate64(v[5], 41)),
                            pbx.add64((v[5] & v[6]) # (~v[5] & v[7]), pbx.add64(k[i], w[i])));
            t2 := pbx.add64(pbx.rotate64(v[1], 28) # pbx.rotate64(v[1], 34) # pbx.rotate64(v[1], 39),
                            (v[1] & v[2]) # (v[1] & v[3]) # (v[2] & v[3]));
            v := ARRAY[pbx.add64(t1, t2), v[1], v[2], v[3], pbx.add64(v[4], t1), v[5], v[6], v[7]];
        END LOOP;
        FOR i IN 1 .. 8 LOOP
            h[i] := pbx.add64(h[i], v[i]);
        END LOOP;
    END LOOP;
    RETURN encode(int8send(h[1]) || int8send(h[2]) || int8send(h[3]) || int8send(h[4]), 'hex');
END $$;
COMMENT ON FUNCTION pbx.sha512_256(bytea) IS 'SHA-512/256 in hex (FIPS 180-4 section 6.7).';

CREATE OR REPLACE FUNCTION pbx.algorithms_valid(algorithms text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(algorithms) BETWEEN 1 AND 3 AND algorithms <@ '{MD5,SHA-256,SHA-512-256}'
       AND cardinality(algorithms) = (SELECT count(DISTINCT a) FROM unnest(algorithms) AS a)
$$;
COMMENT ON FUNCTION pbx.algorithms_valid(text[]) IS 'Some of MD5, SHA-256 and SHA-512-256 (RFC 8760), none twice?';
ALTER TABLE pbx.domain RENAME CONSTRAINT algorithms_are_md5_or_sha256 TO algorithms_are_known;
ALTER TABLE pbx.extension RENAME CONSTRAINT algorithms_are_md5_or_sha256 TO algorithms_are_known;

ALTER TABLE pbx.domain
    ADD COLUMN qop text[] NOT NULL DEFAULT '{auth}',
    ADD CONSTRAINT qop_is_known CHECK (qop IN ('{auth}', '{auth-int}', '{auth,auth-int}'));
COMMENT ON COLUMN pbx.domain.algorithms IS 'Digest algorithms offered to phones, the strongest first: MD5, SHA-256, SHA-512-256. MD5 alone by default: some phones give up on a challenge that offers another one, too.';
COMMENT ON COLUMN pbx.domain.qop IS 'What digest protects: auth, the request line; auth-int, its body as well; or both of them, for the phone to choose. auth by default: proxies on the way change bodies.';

ALTER TABLE pbx.credential ADD COLUMN ha1_sha512_256 text CHECK (ha1_sha512_256 ~ '^[0-9a-f]{64}$');
COMMENT ON COLUMN pbx.credential.ha1_sha512_256 IS 'The same with SHA-512/256. NULL: the password was set before this was kept; what has no hash is not offered.';

CREATE OR REPLACE FUNCTION pbx.set_password(domain text, auth_name text, password text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ha1_input bytea;
    for_domain text := $1;
    name text := $2;
BEGIN
    IF password IS NULL OR password = '' THEN
        RAISE EXCEPTION 'credential %/%: the password is empty', for_domain, name USING ERRCODE = 'check_violation';
    END IF;
    SELECT convert_to(name || ':' || realm || ':' || password, 'UTF8') INTO ha1_input FROM pbx.domain WHERE domain = for_domain;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no domain %', for_domain USING ERRCODE = 'foreign_key_violation';
    END IF;
    UPDATE pbx.credential SET ha1_md5 = md5(ha1_input), ha1_sha256 = encode(sha256(ha1_input), 'hex'), ha1_sha512_256 = pbx.sha512_256(ha1_input)
    WHERE domain = for_domain AND auth_name = name;
    IF FOUND THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pbx.extension WHERE domain = for_domain AND number = name) THEN
        RAISE EXCEPTION 'credential %/%: there is neither such a credential nor an extension of that number', for_domain, name
            USING ERRCODE = 'foreign_key_violation',
                  HINT = 'For a name that is not the number, insert (domain, auth_name, number) into pbx.credential first.';
    END IF;
    INSERT INTO pbx.credential (domain, auth_name, number, ha1_md5, ha1_sha256, ha1_sha512_256)
    VALUES (for_domain, name, name, md5(ha1_input), encode(sha256(ha1_input), 'hex'), pbx.sha512_256(ha1_input));
END $$;
