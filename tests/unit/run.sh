#!/usr/bin/env bash
# Runs cmocka programs, as many at a time as there are cores, and shows what those that fail print.
#
#   tests/unit/run.sh PROGRAM...
#
# UNIT_SECONDS (120) is what one may take. Ends with the line "unit: N passed, M failed"; SUITE says what for "unit".
set -uo pipefail

export out UNIT_SECONDS=${UNIT_SECONDS:-120}
out=$(mktemp -d /tmp/test-unit-XXXXXX)
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM

# Prints the two numbers of one program. One that dies, hangs or fails without saying so has one failure.
run_one() {
	local program=$1 log=$out/${1//\//_} status=0 passed failed
	timeout -k 5 "$UNIT_SECONDS" "$program" >"$log" 2>&1 </dev/null || status=$?
	passed=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	failed=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
	if [ "$status" -ne 0 ] || [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then
		[ "$failed" -gt 0 ] || failed=1
		{
			echo "--- $program: exit status $status$([ "$status" -ne 124 ] || echo " (longer than $UNIT_SECONDS s)")"
			grep -avE '^\[ (RUN|      OK) ' "$log" | tail -n 60
		} >&2
	fi
	echo "$passed $failed"
}
export -f run_one

# shellcheck disable=SC2016  # the inner shell expands it
printf '%s\0' "$@" | xargs -0 -r -P "$(nproc)" -n 1 bash -c 'run_one "$1"' bash >"$out/counts"
awk -v suite="${SUITE:-unit}" '{ p += $1; f += $2 } END { printf "%s: %d passed, %d failed\n", suite, p, f; exit f > 0 || p == 0 }' "$out/counts"
