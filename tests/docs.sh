#!/usr/bin/env bash
# Fails when docs/conformance.md names a file that isn't there, or the source an RFC that has no line in it.
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
[ $bad = 0 ] && echo "docs: ok"
exit $bad
