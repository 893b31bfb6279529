# What a call, a registration, a packet and a held call cost: see the head of run.py.

.PHONY: bench

BENCH_LOADS := $(BUILD)/tests/bench/callload
BENCH_BIN   := $(BUILD)/tests/bench/rtpload $(BENCH_LOADS)

$(BUILD)/tests/bench/rtpload: $(BUILD)/tests/bench/rtpload.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lm

$(BENCH_LOADS): %: %.o $(BUILD)/tests/bench/load.o $(BUILD)/src/base/str.o $(BUILD)/src/base/out.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lcrypto

bench: all $(BENCH_BIN)  ## CPU a call and a packet, memory a call, against their budgets
	@BUILD=$(BUILD) /usr/bin/python3 -B tests/bench/run.py $(BENCH_FLAGS)
