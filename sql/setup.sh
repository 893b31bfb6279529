#!/usr/bin/env bash
# Makes a database ready for this version of Cordboard: the schema, and the applications and phrases that there are, so that
# what refers to them can be checked. May be run again at any time; after an upgrade it must.
#
#   sql/setup.sh [CONNINFO]      CONNINFO: a libpq connection string or URI; else $DATABASE_URL, else libpq's own defaults
#
# CORDBOARD  the server, if it is neither built in this source tree nor installed beside this script
set -euo pipefail

conninfo=${1:-${DATABASE_URL:-}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ask() { psql -X -q -At -v ON_ERROR_STOP=1 ${conninfo:+-d "$conninfo"} "$@"; }

find_server() {
	local server
	for server in "${CORDBOARD:-}" "$here/../build/cordboard" "$here/../../../bin/cordboard"; do
		if [ -n "$server" ] && [ -x "$server" ]; then
			echo "$server"
			return
		fi
	done
	echo "setup: where is the server? Name it in CORDBOARD" >&2
	return 1
}

register_apps() {
	local doc misfits
	doc=$("$server" --print-apps)
	misfits=$(ask -v doc="$doc" <<<"SELECT pbx.app_register(:'doc');")
	if [ "$misfits" != 0 ]; then
		echo "setup: $misfits steps of the dialplan don't fit the applications of this version: SELECT * FROM pbx.problem" >&2
	fi
}

register_phrases() {
	local tsv
	for tsv in "$here"/../prompts/*/phrases.tsv; do
		[ -e "$tsv" ] || continue
		# A line is one column: with these delimiters none of its characters means anything to COPY.
		{
			cat <<-'END'
				CREATE TEMP TABLE line (l text);
				COPY line FROM STDIN (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
			END
			grep -Ev '^(#|[[:space:]]*$)' "$tsv"
			cat <<-'END'
				\.
				SELECT pbx.phrase_register(:'language',
					coalesce(jsonb_object_agg(split_part(l, E'\t', 1), split_part(l, E'\t', 2)), '{}')) FROM line;
			END
		} | ask -v language="$(basename "$(dirname "$tsv")")" >/dev/null
	done
}

server=$(find_server)
"$here/migrate.sh" "$conninfo"
register_apps
register_phrases
