#!/usr/bin/env bash
# Runs libFuzzer targets that are built (make fuzz-targets), one after the other.
#
#   tests/fuzz/run.sh RUNS [TARGET...]     so many inputs to each; what is learnt stays in build-fuzz/corpus/TARGET for the next time
#   tests/fuzz/run.sh short [TARGET...]    a few seconds each, from the seeds alone, and nothing is kept
#
# The seeds are in tests/fuzz/corpus/TARGET, learnt-* among them what ten million inputs found and -merge=1 kept (-use_counters=0), words to put in between in tests/fuzz/TARGET.dict. What is found is left in
# build-fuzz/TARGET-crash-*. Ends with one line: "fuzz: N passed, M failed".
set -u
cd "$(dirname "$0")/../.." || exit 1
out=${FUZZ_BUILD:-build-fuzz}
runs=${1:?runs, or short}
shift

# Half of the time goes into the watching allocator: what it fills and remembers is kept small. The full build has it all.
case $out in
*-lean) export ASAN_OPTIONS=${ASAN_OPTIONS-max_malloc_fill_size=256:malloc_context_size=3:quarantine_size_mb=32} ;;
esac

# For the suite: all together a minute of one core.
short_runs() {
	case $1 in
	loop) echo 500 ;;
	dtls) echo 300 ;; # handshakes
	frame | sdp | hdr) echo 4000 ;;
	ws | cert) echo 2000 ;;
	*) echo 15000 ;;
	esac
}

if [ $# -eq 0 ]; then
	for file in tests/fuzz/fuzz_*.c; do
		target=$(basename "$file" .c)
		set -- "$@" "${target#fuzz_}"
	done
fi
passed=0 failed=0
for target; do
	log=$out/$target.log
	args=(-max_len=4096 -timeout=300 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 "-artifact_prefix=$out/$target-")
	[ ! -e "tests/fuzz/$target.dict" ] || args+=("-dict=tests/fuzz/$target.dict")
	# It looks for leaks itself; and weighing what it has learnt, thousands of features an input, would take longer than playing it.
	[ "$target" != loop ] || args+=(-detect_leaks=0 -entropic=0)
	# What is learnt goes to the first folder: never to the seeds.
	if [ "$runs" = short ]; then
		learnt=$out/short/$target
		rm -rf "$learnt"
		args+=("-runs=$(short_runs "$target")")
	else
		learnt=$out/corpus/$target
		args+=("-runs=$runs")
	fi
	mkdir -p "$learnt"
	args+=("$learnt")
	[ ! -d "tests/fuzz/corpus/$target" ] || args+=("tests/fuzz/corpus/$target")
	started=$SECONDS
	if "$out/fuzz_$target" "${args[@]}" >"$log" 2>&1; then
		passed=$((passed + 1))
		echo "fuzz $target: ok, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, $((SECONDS - started)) s"
	else
		failed=$((failed + 1))
		echo "fuzz $target: FAILED"
		tail -n 60 "$log"
	fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
