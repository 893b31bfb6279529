#!/usr/bin/env bash
# Brings a database to the schema of this source tree: sql/migrations/NNN_name.sql, in order, each in a transaction.
#
#   sql/migrate.sh [CONNINFO]      CONNINFO: a libpq connection string or URI; else $DATABASE_URL, else libpq's own defaults
#
# Numbers may have gaps; one that is filled later is applied then. Refuses a database that is newer than the files. Several may run at once: one waits for the other.
set -euo pipefail

conninfo=${1:-${DATABASE_URL:-}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
psql=(psql -X -q -At -v ON_ERROR_STOP=1 -d "$conninfo")
[ -n "$conninfo" ] || psql=(psql -X -q -At -v ON_ERROR_STOP=1)

newest=0
script=
for file in "$here"/migrations/[0-9][0-9][0-9]_*.sql; do
	base=$(basename "$file" .sql)
	number=$((10#${base%%_*}))
	if [ "$number" -eq "$newest" ]; then
		echo "migrate: $base.sql has a number that another one has" >&2
		exit 1
	fi
	newest=$number
	name=${base#*_}
	# to_regclass: before the first migration there is no table to ask.
	script+="
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('pbx.migrate', 0)) \\g /dev/null
SELECT to_regclass('pbx.version') IS NULL AS fresh \\gset
\\if :fresh
	\\set pending true
\\else
	SELECT NOT EXISTS (SELECT FROM pbx.version WHERE version = $number) AS pending \\gset
\\endif
\\if :pending
	\\i '${file//\'/\'\'}'
	INSERT INTO pbx.version (version, name) VALUES ($number, '$name');
	\\echo migrate: $number $name
\\endif
COMMIT;"
done

# A table that is new, or a view or function that was replaced, gets the rights of tenants (migration 092).
script+='
SELECT to_regprocedure('"'pbx.tenancy()'"') IS NOT NULL AS tenants \gset
\if :tenants
	CALL pbx.tenancy();
\endif'

have=$("${psql[@]}" -c "SELECT to_regclass('pbx.version') IS NOT NULL")
if [ "$have" = t ]; then
	have=$("${psql[@]}" -c "SELECT coalesce(max(version), 0) FROM pbx.version")
	if [ "$have" -gt "$newest" ]; then
		echo "migrate: the database is at version $have, these files end at $newest: use a newer Cordboard" >&2
		exit 1
	fi
fi
PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning" "${psql[@]}" <<<"$script"
