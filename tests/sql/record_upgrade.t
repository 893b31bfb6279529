#!/usr/bin/env bash
# A database with records of calls becomes one that keeps them by month: all of them are there, and what is told of them.
set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo 1..6
n=0
check() { # NAME HAVE WANT
	n=$((n + 1))
	if [ "$2" = "$3" ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; echo "# have: $2, want: $3"; fi
}
db=${CONNINFO/dbname=cordboard/dbname=older}
ask() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$db" -c "$1"; }
psql -X -q -v ON_ERROR_STOP=1 -d "$SUPERUSER" -c 'CREATE DATABASE older OWNER cordboard'

cp -r "$top/sql/." "$tmp/"
for file in "$tmp"/migrations/*.sql; do
	base=$(basename "$file")
	[ $((10#${base%%_*})) -lt 96 ] || rm "$file"
done
"$tmp/migrate.sh" "$db" >/dev/null
ask "SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', jsonb_build_object('call', gen_random_uuid(), 'domain', 'x', 'caller', '1', 'dialled', n, 'result', CASE WHEN n % 2 = 0 THEN 'answered' ELSE 'busy' END,
	'started_ms', ms, 'ended_ms', ms + 5000, 'answered_ms', CASE WHEN n % 2 = 0 THEN ms + 2000 END, 'session_id', gen_random_uuid(), 'legs', jsonb_build_array(
	jsonb_build_object('leg', 1, 'role', 'caller', 'started_ms', ms, 'status', CASE WHEN n % 2 = 1 THEN 486 END, 'packets_sent', n, 'packets_received', n, 'codec', 'opus'),
	jsonb_build_object('leg', 2, 'role', 'callee', 'started_ms', ms, 'ringing_ms', ms + 1000, 'media_security', 'dtls'))))
	FROM (SELECT n, (extract(epoch FROM now() - n * interval '10 days') * 1000)::bigint AS ms FROM generate_series(1, 100) AS n) AS x" >/dev/null
what='SELECT md5(string_agg(concat_ws(chr(124), c.call, c.dialled, c.started, c.answered, c.ended, c.result, c.talk_ms, c.session_id, l.leg, l.role, l.started, l.ringing, l.status, l.codec,
	l.packets_sent, l.media_security), chr(10) ORDER BY c.started, l.leg)) FROM pbx.cdr AS c JOIN pbx.cdr_leg AS l USING (call)'
before=$(ask "$what")
events=$(ask 'SELECT pbx.event_last()')
"$top/sql/migrate.sh" "$db" >/dev/null
check 'records and legs are as they were' "$(ask "$what")" "$before"
check 'all of them' "$(ask 'SELECT count(*), (SELECT count(*) FROM pbx.cdr_leg) FROM pbx.cdr')" '100|200'
check 'each in the table of its month' "$(ask "SELECT count(*) FROM pbx.cdr WHERE tableoid::regclass::text <> to_char(ended AT TIME ZONE 'UTC', '\"pbx_part.cdr_\"YYYYMM\"01\"')")" 0
check 'when they rang and what the caller was told' "$(ask "SELECT bool_and(ringing = started + interval '1 s' AND status = CASE WHEN answered IS NULL THEN 486 ELSE 200 END) FROM pbx.cdr")" t
check 'no event is told of them' "$(ask 'SELECT pbx.event_last()')" "$events"
check 'views show them' "$(ask 'SELECT count(*) FROM pbx.call_quality')" 100
psql -X -q -d "$SUPERUSER" -c 'DROP DATABASE older'
