#!/usr/bin/env bash
# Writes what the database says of itself: DIR/reference.md, from the comments of the catalogue, and DIR/schema.dot, which tables refer to
# which; with graphviz also the picture, DIR/schema.svg.
#
#   sql/docs.sh CONNINFO DIR
set -euo pipefail

conninfo=$1 dir=$2
mkdir -p "$dir"

ask() {
	psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$conninfo"
}

ask >"$dir/reference.md" <<'SQL'
-- One line of a Markdown table, and a name that can be linked to.
CREATE FUNCTION pg_temp.cell(t text) RETURNS text LANGUAGE sql AS $$ SELECT replace(replace(coalesce(t, ''), '|', '\|'), E'\n', ' ') $$;

SELECT format(E'# What is in the database\n\n%s\n\nSchema version %s. Made by `make docs`; the picture is [schema.svg](schema.svg).\n\n## Tables and views\n',
              obj_description('pbx'::regnamespace), max(version)) FROM pbx.version;
SELECT string_agg(format('- [%s](#%s): %s', relname, relname, obj_description(oid, 'pg_class')), E'\n' ORDER BY relname)
FROM pg_class WHERE relnamespace = 'pbx'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition;

SELECT format(E'\n### %s\n\n%s\n%s\n| column | type | | what |\n|---|---|---|---|\n%s%s%s', c.relname,
    CASE WHEN c.relkind IN ('v', 'm') THEN 'A view. ' ELSE '' END || obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relpersistence = 'u' THEN E'\nWhat is now: empty after a crash of the database.\n' ELSE '' END,
    (SELECT string_agg(format('| %s | %s | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
            pg_temp.cell(concat_ws(', ', CASE WHEN a.attnotnull AND d.adbin IS NULL AND a.attidentity = '' THEN 'must be given' END,
                CASE WHEN a.attidentity <> '' THEN 'numbered' END,
                CASE WHEN a.attgenerated <> '' THEN 'computed' WHEN d.adbin IS NOT NULL THEN 'default `' || pg_get_expr(d.adbin, d.adrelid) || '`' END)),
            pg_temp.cell(col_description(c.oid, a.attnum))), E'\n' ORDER BY a.attnum)
     FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT E'\n\nWhat must hold:\n\n' || string_agg(format('- `%s`%s', pg_get_constraintdef(k.oid),
            CASE WHEN k.contype = 'c' AND k.conname NOT LIKE '%\_check%' THEN ': ' || replace(k.conname, '_', ' ') ELSE '' END), E'\n' ORDER BY k.contype = 'c', k.contype = 'f', k.conname)
     FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')),
    (SELECT E'\n\nReferred to by ' || string_agg(format('[%s](#%s)', r.relname, r.relname), ', ' ORDER BY r.relname) || '.'
     FROM (SELECT DISTINCT o.relname FROM pg_constraint AS k JOIN pg_class AS o ON o.oid = k.conrelid
           WHERE k.confrelid = c.oid AND k.conparentid = 0 AND k.conrelid <> c.oid) AS r))
FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition ORDER BY c.relname;

SELECT E'\n## Functions\n\nThose of triggers are left out.\n';
SELECT string_agg(format('- `%s(%s)`%s: %s', p.proname, pg_get_function_arguments(p.oid),
           coalesce(' gives `' || nullif(pg_get_function_result(p.oid), 'void') || '`', ''), obj_description(p.oid, 'pg_proc')), E'\n' ORDER BY p.proname)
FROM pg_proc AS p WHERE p.pronamespace = 'pbx'::regnamespace AND p.prorettype <> 'trigger'::regtype;

SELECT E'\n## Applications\n\nWhat steps can run, and their arguments.\n';
SELECT format(E'### Application %s\n\n%s\n%s', a.app, a.help,
    (SELECT E'\n| argument | type | | what |\n|---|---|---|---|\n' || string_agg(format('| %s | %s | %s | %s |', p.param, p.type,
            pg_temp.cell(CASE WHEN p.required THEN 'must be given' ELSE 'default ' || p.default_value END), pg_temp.cell(p.help)), E'\n' ORDER BY NOT p.required, p.param) || E'\n'
     FROM pbx.app_param AS p WHERE p.app = a.app))
FROM pbx.app AS a ORDER BY a.app;
SQL

ask >"$dir/schema.dot" <<'SQL'
SELECT E'digraph pbx {\n\trankdir = LR; nodesep = 0.15; ranksep = 1;\n\tnode [shape = box, style = "rounded,filled", fillcolor = "#f4f6fa", color = "#5a6b85",'
    || E' fontname = "sans-serif", fontsize = 11];\n\tedge [color = "#8a97ad", arrowsize = 0.6];';
SELECT format(E'\t"%s" [label = "%s\\n%s", tooltip = "%s"];', c.relname, c.relname,
    (SELECT string_agg(a.attname, ', ' ORDER BY u.n) FROM pg_constraint AS k, unnest(k.conkey) WITH ORDINALITY AS u(attnum, n)
     JOIN pg_attribute AS a ON a.attnum = u.attnum WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid),
    replace(obj_description(c.oid, 'pg_class'), '"', '\"'))
FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname;
SELECT DISTINCT format(E'\t"%s" -> "%s";', o.relname, t.relname)
FROM pg_constraint AS k JOIN pg_class AS o ON o.oid = k.conrelid JOIN pg_class AS t ON t.oid = k.confrelid
WHERE k.connamespace = 'pbx'::regnamespace AND k.contype = 'f' AND k.conparentid = 0 AND NOT o.relispartition AND NOT t.relispartition ORDER BY 1;
SELECT '}';
SQL

if command -v dot >/dev/null; then
	dot -Tsvg "$dir/schema.dot" -o "$dir/schema.svg"
else
	echo "no picture: graphviz isn't installed" >&2
fi
