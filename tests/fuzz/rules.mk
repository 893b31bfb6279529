# libFuzzer targets, built by clang with ASan and UBSan in a tree of their own, where every object watches its edges.
# FUZZ_LEAN=1: another tree, with ASan alone and without watching comparisons: half as thorough an input, three times as many of them.
# FUZZ_BARE=1: a third, without ASan, but with assertions and a heap that looks after itself (heap.h): as many again. What it keeps can be
# played to the others.

FUZZ_CC     ?= clang
FUZZ_BUILD  := build-fuzz$(if $(FUZZ_BARE),-bare,$(if $(FUZZ_LEAN),-lean))
FUZZ_BOUNDS := bounds,integer-divide-by-zero,return,unreachable,vla-bound
FUZZ_SAN    := $(if $(FUZZ_BARE),$(FUZZ_BOUNDS) -fsanitize-trap=$(FUZZ_BOUNDS),$(if $(FUZZ_LEAN),address,address$(comma)undefined -fno-sanitize-recover=undefined))
FUZZ_EDGES  := $(if $(FUZZ_LEAN)$(FUZZ_BARE),-fsanitize-coverage=inline-8bit-counters$(comma)pc-table,-fsanitize=fuzzer-no-link)
FUZZ_PKGS   := libuv openssl libcares libwebsockets libxml-2.0 jansson spandsp libsrtp2 opus speexdsp lua5.4
FUZZ_CFLAGS  = -std=gnu17 -O2 -g -D_GNU_SOURCE -Isrc -Itests/fuzz $(shell pkg-config --cflags $(FUZZ_PKGS)) \
	-Wall -Wextra -Werror -fsanitize=$(FUZZ_SAN) $(if $(FUZZ_BARE),-DFUZZ_BARE)
FUZZ_LIBS    = $(shell pkg-config --libs $(FUZZ_PKGS)) -lresolv -lm -lpthread
# What the targets need; each links of it what it uses.
FUZZ_SRC    := $(wildcard src/base/*.c src/sip/*.c src/sdp/*.c src/registrar/*.c src/call/*.c src/presence/*.c src/script/*.c apps/*.c) \
	src/directory/cadence.c src/plan/condition.c src/plan/pattern.c src/plan/literals.c $(addprefix src/media/,codec.c codec_spandsp.c codec_opus.c opus_params.c resample.c dtmf.c ice.c latch.c rtcp.c rtp.c dtls.c secure.c udptl.c)
FUZZ_BIN    := $(patsubst tests/fuzz/%.c,$(FUZZ_BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJ    := $(FUZZ_SRC:%.c=$(FUZZ_BUILD)/%.o)

$(FUZZ_BUILD)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_EDGES) -MMD -MP -c -o $@ $<

$(FUZZ_BUILD)/libfuzzed.a: $(FUZZ_OBJ) tests/fuzz/rules.mk
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $(FUZZ_OBJ)

$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libfuzzed.a
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(FUZZ_LIBS)

# What these make up stands before what is real: of a part that is made up by half, the rest is pulled in, too.
$(FUZZ_BUILD)/fuzz_loop $(FUZZ_BUILD)/fuzz_ws $(FUZZ_BUILD)/fuzz_tcp: FUZZ_LIBS += -Wl,-z,muldefs
$(FUZZ_BUILD)/tests/fuzz/fuzz_loop.o: FUZZ_CFLAGS += $(if $(FUZZ_LEAN),-DFUZZ_LEAN)
$(FUZZ_BUILD)/fuzz_loop: $(FUZZ_BUILD)/tests/fuzz/heap.o
# Nothing is learnt there.
$(FUZZ_BUILD)/tests/fuzz/heap.o $(FUZZ_BUILD)/tests/fuzz/loop/json_text.o: FUZZ_EDGES :=
$(if $(FUZZ_BARE),$(FUZZ_BIN): $(FUZZ_BUILD)/tests/fuzz/heap.o)
$(FUZZ_BUILD)/fuzz_loop: $(patsubst %.c,$(FUZZ_BUILD)/%.o,$(wildcard tests/fuzz/loop/*.c))

.PHONY: fuzz fuzz-targets test-fuzz
fuzz-targets: $(FUZZ_BIN)

fuzz: fuzz-targets  ## FUZZ_RUNS (10,000,000) inputs to each of FUZZ_TARGETS (all)
	@FUZZ_BUILD=$(FUZZ_BUILD) tests/fuzz/run.sh $(or $(FUZZ_RUNS),10000000) $(FUZZ_TARGETS)

test-fuzz: fuzz-targets  ## as many inputs to each libFuzzer target as a few seconds allow
	@FUZZ_BUILD=$(FUZZ_BUILD) tests/fuzz/run.sh short $(FUZZ_TARGETS)

SUITES += test-fuzz

-include $(shell find $(FUZZ_BUILD) -name '*.d' 2>/dev/null)
