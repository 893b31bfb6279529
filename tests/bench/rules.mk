# What a call, a packet and a held call cost: see the head of run.py.

.PHONY: bench

$(BUILD)/tests/bench/rtpload: $(BUILD)/tests/bench/rtpload.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lm

bench: all $(BUILD)/tests/bench/rtpload  ## CPU a call and a packet, memory a call, against their budgets
	@BUILD=$(BUILD) /usr/bin/python3 -B tests/bench/run.py $(BENCH_FLAGS)
