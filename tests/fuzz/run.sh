#!/usr/bin/env bash
# Builds every libFuzzer target of this folder with ASan and UBSan into build/fuzz and runs each for SECONDS (first
# argument, default 10) from its seeds in corpus/<target>/. What is found is left in build/fuzz/<target>-crash-*; what is
# learnt stays in build/fuzz/corpus/<target>/ for the next run. Ends with one line: "fuzz: N passed, M failed".
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-10}
out=build/fuzz
mkdir -p $out
clang=${CLANG:-clang}
command -v "$clang" >/dev/null || { echo "fuzz: $clang is missing (apt install clang)"; exit 1; }

base="src/base/str.c src/base/out.c"
sip="src/sip/uri.c src/sip/msg.c src/sip/hdr.c src/sip/names.c src/sip/chars.c src/sip/body.c"
sources() {
	case $1 in
	uri | msg | frame | body) echo "$base $sip" ;;
	sdp) echo "$base src/sdp/sdp.c src/sdp/oa.c" ;;
	pidf) echo "$base src/presence/pidf.c src/presence/xml.c $(pkg-config --cflags --libs libxml-2.0)" ;;
	rtp) echo "$base src/media/rtp.c src/media/rtcp.c src/media/dtmf.c src/media/latch.c" ;;
	esac
}

passed=0 failed=0
for file in tests/fuzz/fuzz_*.c; do
	target=$(basename "$file" .c)
	target=${target#fuzz_}
	log=$out/$target.log
	seeds=tests/fuzz/corpus/$target
	[ -d "$seeds" ] || seeds=
	mkdir -p "$out/corpus/$target"
	# shellcheck disable=SC2046,SC2086  # several files; none or one
	if "$clang" -std=gnu17 -O1 -g -D_GNU_SOURCE -Isrc -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-o "$out/fuzz_$target" "$file" $(sources "$target") >"$log" 2>&1 &&
		"$out/fuzz_$target" -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix="$out/$target-" "$out/corpus/$target" $seeds >>"$log" 2>&1; then
		passed=$((passed + 1))
		echo "fuzz $target: ok, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
	else
		failed=$((failed + 1))
		echo "fuzz $target: FAILED"
		tail -n 40 "$log"
	fi
done
echo "fuzz: $passed passed, $failed failed"
[ $failed = 0 ]
