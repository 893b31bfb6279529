.PHONY: test-fuzz
test-fuzz:  ## libFuzzer targets, FUZZ_SECONDS each (5)
	@tests/fuzz/run.sh $(or $(FUZZ_SECONDS),5)

SUITES += test-fuzz
