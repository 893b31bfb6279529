#!/usr/bin/env bash
# Runs the phones' tests several at a time, and what failed once more, alone: sound is judged as it is heard, and a machine that is
# busy with all suites at once may keep a phone from speaking in time. What fails alone, too, has failed.
#
#   tests/phones/run.sh PYTEST...     the command, with its options and paths
set -uo pipefail

cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
command=("$@" -p cacheprovider -o "cache_dir=$cache")

"${command[@]}" -n 6 | tee "$cache/first"
status=${PIPESTATUS[0]}
[ "$status" -eq 1 ] || exit "$status"          # 1: tests have failed; all else is no matter of tests

number() { grep -oE "[0-9]+ $1" "$cache/$2" | tail -n 1 | grep -oE '[0-9]+' || echo 0; }

echo "once more, alone, what failed:"
"${command[@]}" --last-failed --last-failed-no-failures none | tee "$cache/second"
status=${PIPESTATUS[0]}
again=$(number passed second)
echo "$(($(number passed first) + again)) passed, $(number failed second) failed, $again of them passed the second time"
exit "$status"
