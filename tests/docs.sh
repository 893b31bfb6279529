#!/usr/bin/env bash
# Fails when docs/conformance.md names a file that isn't there, or the source an RFC that has no line in it, or README.md says another
# value of a constant than the source.
set -u
cd "$(dirname "$0")/.." || exit 1
page=docs/conformance.md
bad=0
# shellcheck disable=SC2016 # backticks of Markdown
for file in $(grep -oE '`[a-zA-Z0-9_/]+\.[a-z]+`' $page | tr -d '`' | sort -u); do
	case $file in
	*/*) path=$file ;;
	test_*.c) path=tests/unit/$file ;;
	*) path=src/sip/$file ;;
	esac
	[ -f "$path" ] || { echo "$page: there is no $path"; bad=1; }
done
listed=" $(grep -oE '^\| [0-9, ]+ \|' $page | tr -d '|,' | tr '\n' ' ') "
while read -r _ rfc; do
	case $listed in
	*" $rfc "*) ;;
	*) echo "$page: no line for RFC $rfc, which the source names"; bad=1 ;;
	esac
done < <(grep -rhoE 'RFC [0-9]{4}' src apps | sort -u)
while IFS='=' read -r name value; do
	# The same name may stand for something else in another file: one of them has to have it.
	same=0
	while read -r text; do
		text=$(sed 's|/\*.*||; s|[0-9]\+[uU]|&,|g; s|[uU],||g' <<<"$text")
		[[ $text =~ ^[0-9xa-f\ \(\)*\<+]+$ ]] && [ $((text)) = "$value" ] && same=1
	done < <(grep -rhE "^#define ${name}[[:space:]]" src | sed -E 's/^#define [A-Z_0-9]+[[:space:]]+//')
	[ $same = 1 ] || { echo "README.md: $name isn't $value"; bad=1; }
done < <(grep "^|" README.md | grep -oE "\`[A-Z_]+=[0-9]+\`" | tr -d "\`")
[ $bad = 0 ] && echo "docs: ok"
exit $bad
