#!/usr/bin/env bash
# Runs suites one after the other, each with `make SUITE`, to the end even when one fails: what `make test` calls.
#
#   tests/run.sh SUITE...        SUITE@sanitize: the same in the build with ASan and UBSan
#
# A suite's output goes to build/log/SUITE.log; the end of it is shown when the suite fails. Each suite ends with one line
# "SUITE: N passed, M failed". The numbers are those of the last line in which it said such a thing itself, as pytest does; one
# that counts nothing is one test. It fails, too, when it runs no test at all or longer than SUITE_SECONDS (400).
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
logs=build/log
# The suites are builds of their own, with as many jobs as there are cores, whatever make was asked for above us.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SANITIZE
export LC_ALL=C.UTF-8

# Servers, databases and phones that a suite has started outlive it when it is cut off: they are known by this in their environment.
export CORDBOARD_TEST_RUN="$$-$EPOCHREALTIME"

sweep() {
	local signal environ left
	for signal in TERM TERM TERM KILL; do
		left=0
		for environ in /proc/[0-9]*/environ; do
			if grep -qzxF "CORDBOARD_TEST_RUN=$CORDBOARD_TEST_RUN" "$environ" 2>/dev/null; then
				kill -"$signal" "$(basename "${environ%/environ}")" 2>/dev/null && left=1
			fi
		done
		[ "$left" -eq 1 ] || break
		sleep 1
	done
}

pid=
ahead=
interrupted() {
	trap '' INT TERM HUP
	[ -z "$ahead" ] || kill -TERM "$ahead" 2>/dev/null
	if [ -n "$pid" ]; then
		kill -TERM "$pid" 2>/dev/null
		wait "$pid"
		sweep
	fi
	echo "test: interrupted"
	exit 130
}
trap interrupted INT TERM HUP

# Sets $counts to "N passed, M failed" of a suite that ended with $status.
count() {
	local line passed=1 failed=0
	line=$(grep -aE '\b[0-9]+ (passed|failed|errors?)\b' "$log" | tail -n 1)
	if [ -n "$line" ]; then
		passed=$(number_of passed)
		failed=$(($(number_of failed) + $(number_of errors?)))
		[ $((passed + failed)) -gt 0 ] || status=1
	elif [ "$status" -ne 0 ]; then
		passed=0
	fi
	# A suite that can't even be built counts none.
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
	[ "$failed" -eq 0 ] || status=1
	counts="$passed passed, $failed failed"
}

number_of() {
	if [[ $line =~ (^|[^0-9])([0-9]+)\ $1([^a-z]|$) ]]; then
		echo "${BASH_REMATCH[2]}"
	else
		echo 0
	fi
}

run_suite() {
	local suite=${1%@*} name=${1/@/-} make=(make -s "-j$(nproc)") limit=${SUITE_SECONDS:-400} status=0 started=$SECONDS
	log=$logs/$name.log
	if [ "$suite" != "$1" ]; then
		make+=(SANITIZE=1)
		# Two at once would write the same files. What went wrong in it goes wrong again, and is told, in the suite.
		[ -z "$ahead" ] || wait "$ahead"
		ahead=
	fi
	# In the background, as a wait is what a signal interrupts.
	timeout -k 10 "$limit" "${make[@]}" "$suite" >"$log" 2>&1 </dev/null &
	pid=$!
	wait "$pid" || status=$?
	pid=
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		echo "$name: longer than $limit s"
		sweep
	fi
	count
	if [ "$status" -ne 0 ]; then
		echo "--- $name: the end of $log"
		tail -n 80 "$log"
		echo "---"
	fi
	echo "$name: $counts"
	took+=("$(printf '%4d s  %s' $((SECONDS - started)) "$name")")
	return "$status"
}

mkdir -p "$logs"
case "${1-}:$*" in
*@*:*) ;;
*@sanitize*)
	nice -n 19 make -s SANITIZE=1 all units >"$logs/sanitize.log" 2>&1 </dev/null &
	ahead=$!
	;;
esac
passed=0 failed=0 took=()
for suite in "$@"; do
	if run_suite "$suite"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
printf '%s\n' "${took[@]}"
printf '%4d s  in all\n' "$SECONDS"
echo "suites: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
