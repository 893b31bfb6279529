#!/usr/bin/env bash
# sql/migrate.sh: what it makes, twice, half, together, and what it refuses.
set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 1..13
n=0
check() { # NAME COMMAND...
	n=$((n + 1))
	if "${@:2}"; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
refuses() { # MESSAGE COMMAND...
	local out
	! out=$("${@:2}" 2>&1) && grep -q "$1" <<<"$out"
}
dumps() {
	pg_dump -d "$db" >"$tmp/dump" && grep -q 'CREATE TABLE pbx.route' "$tmp/dump"
}
copies() {
	echo backup,backup.example |
		psql -X -q -v ON_ERROR_STOP=1 -d "$db" -c BEGIN -c 'COPY pbx.domain (domain, realm) FROM STDIN (FORMAT csv)' -c ROLLBACK
}
admin() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$SUPERUSER" -c "$1"; }
ask() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$db" -c "$1"; }
db=${CONNINFO/dbname=cordboard/dbname=fresh}
admin 'CREATE DATABASE fresh OWNER cordboard'

count=$(find "$top/sql/migrations" -name '*.sql' | wc -l)
last=$(find "$top/sql/migrations" -name '*.sql' -printf '%f\n' | sort | tail -n 1)
last=$((10#${last%%_*}))
out=$("$top/sql/migrate.sh" "$db")
check 'a fresh database gets all migrations' test "$(wc -l <<<"$out")" -eq "$count"
check 'it is at the last version' test "$(ask 'SELECT max(version) FROM pbx.version')" = "$last"
check 'a second run does nothing' test -z "$("$top/sql/migrate.sh" "$db")"
check 'its owner can take it away' dumps
check 'and copy into it' copies
check 'DATABASE_URL names the database too' env DATABASE_URL="$db" "$top/sql/migrate.sh"

# copies with one migration more
cp -r "$top/sql/." "$tmp/"
next=$(printf %03d $((last + 1)))
echo 'CREATE TABLE pbx.half (x integer); SELECT 1 / 0;' >"$tmp/migrations/${next}_half.sql"
check 'a migration that fails is reported' refuses 'division by zero' "$tmp/migrate.sh" "$db"
check 'and leaves nothing behind' test "$(ask "SELECT to_regclass('pbx.half') IS NULL AND max(version) = $last FROM pbx.version")" = t

echo 'CREATE TABLE pbx.half (x integer); SELECT pg_sleep(0.3) \g /dev/null' >"$tmp/migrations/${next}_half.sql"
"$tmp/migrate.sh" "$db" >"$tmp/1" 2>&1 &
one=$!
"$tmp/migrate.sh" "$db" >"$tmp/2" 2>&1
two=$?
wait $one
check 'two at once both succeed' test $? -eq 0 -a $two -eq 0
check 'one of them did it' test "$(cat "$tmp/1" "$tmp/2")" = "migrate: $((last + 1)) half"
check 'older files refuse a newer database' refuses "at version $((last + 1)), these files end at $last" "$top/sql/migrate.sh" "$db"
echo 'CREATE TABLE pbx.late (x integer);' >"$tmp/migrations/900_late.sql"
check 'a gap in the numbers is no matter' test "$("$tmp/migrate.sh" "$db")" = 'migrate: 900 late'
cp "$tmp/migrations/900_late.sql" "$tmp/migrations/900_again.sql"
check 'a number twice is refused' refuses 'has a number that another one has' "$tmp/migrate.sh" "$db"
admin 'DROP DATABASE fresh'
