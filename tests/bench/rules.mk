# What a call, a registration, a packet and a held call cost: see the head of run.py.

.PHONY: bench

BENCH_LOADS := $(addprefix $(BUILD)/tests/bench/,callload regload)
BENCH_PLAIN := $(addprefix $(BUILD)/tests/bench/,rtpload floor)
BENCH_BIN   := $(BENCH_PLAIN) $(BENCH_LOADS)

$(BENCH_PLAIN): %: %.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lm

$(BENCH_LOADS): %: %.o $(BUILD)/tests/bench/load.o $(BUILD)/src/base/str.o $(BUILD)/src/base/out.o $(BUILD)/src/base/dec.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lcrypto

# Seldom run, but what they are made of changes: they are built with the tests.
units: $(BENCH_BIN)

bench: all $(BENCH_BIN) $(BUILD)/tests/sip/flood  ## CPU a call and a packet, memory a call, against their budgets
	@BUILD=$(BUILD) /usr/bin/python3 -B tests/bench/run.py $(BENCH_FLAGS)

# Sound under load: see the head of media.py.
.PHONY: bench-media
$(BUILD)/tests/bench/mediaload: %: %.o $(BUILD)/tests/bench/load.o $(BUILD)/src/base/str.o $(BUILD)/src/base/out.o $(BUILD)/src/base/dec.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ -lcrypto $(shell pkg-config --libs libsrtp2 opus spandsp) -lm

units: $(BUILD)/tests/bench/mediaload

bench-media: all prompts $(BUILD)/tests/bench/mediaload $(BUILD)/tests/bench/floor  ## sound under load: CPU a packet, delay, loss, memory, beside a bare relay
	@BUILD=$(BUILD) /usr/bin/python3 -B tests/bench/media.py $(BENCH_FLAGS)

# SQL as the control room: see the head of sql.py.
.PHONY: bench-sql
$(BUILD)/tests/bench/lookup: $(BUILD)/tests/bench/lookup.o $(BUILD)/tests/bench/load.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS)

units: $(BUILD)/tests/bench/lookup

bench-sql: all $(BENCH_BIN) $(BUILD)/tests/bench/lookup  ## a million routes, 100,000 extensions, changes, imports, live state, against their budgets
	@BUILD=$(BUILD) /usr/bin/python3 -B tests/bench/sql.py $(BENCH_FLAGS)

# What the jitter buffer makes of bad networks: see the head of jitter.c.
.PHONY: bench-jitter
$(BUILD)/tests/bench/jitter: $(BUILD)/tests/bench/jitter.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS)

units: $(BUILD)/tests/bench/jitter

bench-jitter: $(BUILD)/tests/bench/jitter  ## the jitter buffer on bad networks, beside a fixed one
	@$<

# Messages a second, beside other parsers: see the head of parse.c. Those are of Debian, for this alone.
.PHONY: bench-parse deps-bench

deps-bench: deps  ## those that only bench-parse needs: the parsers it compares with
	@config/deps.sh libosip2-dev libsofia-sip-ua-dev

PARSE_OBJ := $(addprefix $(BUILD)/tests/bench/,parse.o parse_cordboard.o)
PARSE_SO  := $(addprefix $(BUILD)/tests/bench/,parse_osip.so parse_sofia.so)
$(BUILD)/tests/bench/parse_osip.so: PARSE_PKG = libosip2
$(BUILD)/tests/bench/parse_sofia.so: PARSE_PKG = sofia-sip-ua

$(BUILD)/tests/bench/%.so: tests/bench/%.c tests/bench/parse.h
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -g $(WARN) -D_GNU_SOURCE -Isrc -fPIC -shared -o $@ $(shell pkg-config --cflags $(PARSE_PKG)) $< \
		$(shell pkg-config --libs $(PARSE_PKG))

$(BUILD)/tests/bench/parse: $(PARSE_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -ldl

bench-parse: deps-bench  ## messages a second: Cordboard's parser beside libosip2's and Sofia-SIP's
	@$(MAKE) --no-print-directory $(BUILD)/tests/bench/parse $(PARSE_SO)
	@$(BUILD)/tests/bench/parse $(abspath $(PARSE_SO))
