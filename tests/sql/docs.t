#!/usr/bin/env bash
# The reference that is made of the catalogue has all of it, and the picture each table and reference.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d /tmp/test-docs-XXXXXX)
trap 'rm -rf "$dir"' EXIT
n=0

ok() { # description, command
	n=$((n + 1))
	if "${@:2}" >"$dir/why" 2>&1; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' "$dir/why"
	fi
}

ask() {
	psql -X -q -A -t -d "$CONNINFO" -c "$1"
}

# Each line of the first is part of the second.
all_in() {
	[ -s "$1" ] && awk 'NR == FNR { text = text $0 "\n"; next } !index(text, $0) { print "missing: " $0; bad = 1 } END { exit bad }' "$2" "$1"
}

ok "it is made" "$here/../../sql/docs.sh" "$CONNINFO" "$dir/docs"
tables="pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND NOT c.relispartition AND c.relkind"
ask "SELECT '### ' || relname FROM $tables IN ('r', 'p', 'v', 'm')" >"$dir/tables"
ok "with every table and view" all_in "$dir/tables" "$dir/docs/reference.md"
ask "SELECT '| ' || replace(replace(d.description, '|', '\\|'), E'\\n', ' ') || ' |' FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid
	WHERE d.objsubid > 0 AND c.relnamespace = 'pbx'::regnamespace AND NOT c.relispartition AND c.relkind IN ('r', 'p', 'v', 'm')" >"$dir/columns"
ok "every column's comment" all_in "$dir/columns" "$dir/docs/reference.md"
ask "SELECT '- \`' || proname || '(' FROM pg_proc WHERE pronamespace = 'pbx'::regnamespace AND prorettype <> 'trigger'::regtype" >"$dir/functions"
ok "every function" all_in "$dir/functions" "$dir/docs/reference.md"
ask "SELECT '### Application ' || app FROM pbx.app" >"$dir/apps"
ok "every application" all_in "$dir/apps" "$dir/docs/reference.md"
ask "SELECT format('\"%s\" -> \"%s\"', c.relname, t.relname) FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
	JOIN pg_class AS t ON t.oid = k.confrelid WHERE k.connamespace = 'pbx'::regnamespace AND k.contype = 'f' AND k.conparentid = 0" >"$dir/edges"
ok "the picture has every reference" all_in "$dir/edges" "$dir/docs/schema.dot"
if command -v dot >/dev/null; then
	ok "and can be drawn" grep -q '</svg>' "$dir/docs/schema.svg"
else
	ok "and can be drawn # SKIP graphviz isn't installed" true
fi
echo "1..$n"
