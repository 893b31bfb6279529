.PHONY: test-fuzz
test-fuzz:  ## libFuzzer targets, FUZZ_SECONDS each (10)
	@tests/fuzz/run.sh $(or $(FUZZ_SECONDS),10)
