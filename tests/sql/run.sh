#!/usr/bin/env bash
# Runs the tests of the schema on a cluster of their own: *.sql are pgTAP, each in a transaction on the demo office;
# *.t are programs that print TAP, given the conninfo and the superuser's in $CONNINFO and $SUPERUSER.
#
#   tests/sql/run.sh [FILE...]
#
# Ends with the line "sql: N passed, M failed".
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d /tmp/test-sql-XXXXXX)
trap '"$here/../lib/pgtmp" stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

CONNINFO=$("$here/../lib/pgtmp" start "$dir")
SUPERUSER=${CONNINFO/user=cordboard/user=postgres}
export CONNINFO SUPERUSER
psql -X -q -v ON_ERROR_STOP=1 -d "$SUPERUSER" -c 'CREATE EXTENSION pgtap' -f "$here/helpers.psql"

files=("$@")
[ "${#files[@]}" -gt 0 ] || files=("$here"/*.sql "$here"/*.t)
programs=() tests=()
for file in "${files[@]}"; do
	case $file in
	*.t) programs+=("$file") ;;
	*) tests+=("$file") ;;
	esac
done
status=0
host=${CONNINFO#host=}
if [ "${#tests[@]}" -gt 0 ]; then
	pg_prove -h "${host%% *}" -d cordboard -U cordboard "${tests[@]}" 2>&1 | tee -a "$dir/log" || status=1
fi
if [ "${#programs[@]}" -gt 0 ]; then
	prove "${programs[@]}" 2>&1 | tee -a "$dir/log" || status=1
fi
# A file that breaks off has failed even if no test in it has.
awk '/^Files=/ { sub(/.*Tests=/, ""); n += $0 }
	/\(Wstat: .* Failed: [0-9]+\)$/ { sub(/.*Failed: /, ""); f += $0 > 0 ? $0 : 1 }
	END { printf "sql: %d passed, %d failed\n", (n > f ? n - f : 0), f }' "$dir/log"
exit "$status"
