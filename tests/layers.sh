#!/usr/bin/env bash
# Fails on an #include that points up the layers of the design (base <- sip, sdp, media, db <- ...).
set -u
cd "$(dirname "$0")/.." || exit 1
allowed() {
	case $1 in
	base) echo "base" ;;
	script) echo "base script" ;;
	sdp | sip | media | db) echo "base $1" ;;
	directory) echo "base sdp sip media db directory" ;;
	plan) echo "base sdp sip media db directory plan" ;;
	registrar) echo "base sdp sip media db directory plan registrar" ;;
	call) echo "base sdp sip media db directory plan registrar call script" ;;
	presence) echo "base sdp sip media db directory plan registrar call presence" ;;
	admin) echo "base sdp sip media db directory plan registrar call presence admin" ;;
	esac
}
bad=0
for folder in base script sdp sip media db directory plan registrar call presence admin; do
	ok=" $(allowed $folder) "
	while IFS=: read -r file line text; do
		[ -n "$file" ] || continue
		target=$(sed -E 's/.*#include "([^"]+)".*/\1/' <<<"$text")
		layer=${target%%/*}
		[ "$layer" = "$target" ] && layer=$folder
		case $ok in
		*" $layer "*) ;;
		*) echo "$file:$line: $folder may not include $target"; bad=1 ;;
		esac
	done < <(grep -n '#include "' -r "src/$folder" 2>/dev/null)
done
while IFS=: read -r file line text; do
	[ -n "$file" ] || continue
	target=$(sed -E 's/.*#include "([^"]+)".*/\1/' <<<"$text")
	case $target in
	call/app.h | base/str.h | base/out.h | apps/* | apps.h) ;;
	*) case $target in
	   */*) echo "$file:$line: an application may only include call/app.h, not $target"; bad=1 ;;
	   esac ;;
	esac
done < <(grep -n '#include "' -r apps 2>/dev/null)
[ $bad = 0 ] && echo "layers: ok"
exit $bad
