#!/usr/bin/env bash
# Installs those of the given Debian packages that are missing. Does nothing, offline, when none is.
set -euo pipefail

# By a package of another name: where nodejs isn't Debian's own it brings npm along, and refuses that of Debian.
# Not grep -q: it would end before dpkg-query has said all, which then fails.
is_provided() {
	dpkg-query -W -f '${db:Status-Status} ${Provides},\n' | grep -E "^installed (.*, )?$1( \(.*\))?," >/dev/null
}

missing=()
for package in "$@"; do
	case $(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null) in
	"installed "*) ;;
	*) is_provided "$package" || missing+=("$package") ;;
	esac
done
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "deps: installing ${missing[*]}"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: there is no sudo; as root: apt-get install ${missing[*]}" >&2
		exit 1
	}
	sudo=(sudo)
fi

# Debian's postgresql makes and starts a cluster of its own when it is first installed, unless told not to.
conf=/etc/postgresql-common/createcluster.conf
case " ${missing[*]} " in
*" postgresql-15 "*)
	if ! [ -e "$conf" ]; then
		"${sudo[@]}" mkdir -p "${conf%/*}"
		echo 'create_main_cluster = false' | "${sudo[@]}" tee "$conf" >/dev/null
	fi
	;;
esac

# A list that can't be refreshed may still do.
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q || echo "deps: can't refresh the package list, going on" >&2
# confold: the file made above stays, without a question.
exec "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
	-o Dpkg::Options::=--force-confold "${missing[@]}"
