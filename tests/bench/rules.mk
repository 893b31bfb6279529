# Load for the benchmark.

$(BUILD)/tests/bench/rtpload: $(BUILD)/tests/bench/rtpload.o
	$(CC) $(SAN) -o $@ $^ -lm
