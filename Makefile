# Cordboard: the only build file. `make help` lists what it can do.

BUILD     := build$(if $(SANITIZE),-sanitize)$(if $(TSAN),-tsan)
CC        ?= gcc
PKGS      := libuv libpq sndfile spandsp openssl jansson libconfig speexdsp
CFLAGS    ?= -O2 -g
comma     := ,
SAN       := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)$(if $(TSAN),-fsanitize=thread -fno-omit-frame-pointer)
WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARN) $(SAN) -D_GNU_SOURCE -Isrc $(shell pkg-config --cflags $(PKGS))
ALL_LIBS   = $(shell pkg-config --libs $(PKGS)) -lm -lpthread

SRC_CORE  := $(filter-out src/main.c,$(shell find src -name '*.c' | sort))
SRC_APPS  := $(shell find apps -name '*.c' 2>/dev/null | sort)
OBJ_CORE  := $(patsubst %.c,$(BUILD)/%.o,$(SRC_CORE))
OBJ_APPS  := $(patsubst %.c,$(BUILD)/%.o,$(SRC_APPS))
LIB       := $(BUILD)/libcordboard.a
UNIT_SRC  := $(shell find tests/unit -name 'test_*.c' 2>/dev/null | sort)
UNIT_BIN  := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRC))

.DEFAULT_GOAL := all
.SECONDARY:
.PHONY: all help clean test-unit layers format

all: $(BUILD)/cordboard  ## build the server

$(BUILD)/cordboard: $(BUILD)/src/main.o $(LIB)
	$(CC) $(SAN) -o $@ $< $(LIB) $(ALL_LIBS)

$(LIB): $(OBJ_CORE) $(OBJ_APPS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB)
	$(CC) $(SAN) -o $@ $< $(LIB) $(ALL_LIBS) -lcmocka

test-unit: $(UNIT_BIN)  ## cmocka units
	@set -e; for t in $(UNIT_BIN); do ./$$t; done

layers:  ## check that includes point down the layers of the design
	@tests/layers.sh

format:  ## clang-format the sources
	clang-format -i $(shell find src apps tests -name '*.[ch]')

clean:  ## remove what was built
	rm -rf build build-sanitize build-tsan

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Suites and tools with rules of their own.
-include $(wildcard tests/*/rules.mk prompts/rules.mk)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
