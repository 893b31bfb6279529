# Cordboard: the only build file. `make help` lists what it can do.

# make's own default is cc, which ?= would leave.
ifeq ($(origin CC),default)
CC        := gcc
endif
BUILD     := build$(if $(findstring clang,$(CC)),-clang)$(if $(SANITIZE),-sanitize)$(if $(TSAN),-tsan)$(if $(G729),-g729)
PKGS      := libuv libpq sndfile spandsp openssl jansson libconfig speexdsp opus libwebsockets libcares libxml-2.0 libsrtp2 lua5.4
CFLAGS    ?= -O2 -g
comma     := ,
SAN       := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)$(if $(TSAN),-fsanitize=thread -fno-omit-frame-pointer)
# The server is optimised as a whole, which saves a tenth of the instructions of a call and takes ten seconds more to link (LTO= : without).
# Only gcc's plain build; the tests link the same objects as they are.
LTO       ?= $(if $(findstring clang,$(CC))$(SAN),,-flto=auto)
# The server's allocator: a call costs a tenth less than with glibc's (MALLOC= : that one). Tests and sanitizers have their own.
MALLOC    ?= $(if $(findstring clang,$(CC))$(SAN),,-lmimalloc)
WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARN) $(SAN) $(if $(LTO),$(LTO) -ffat-lto-objects) $(if $(MALLOC),-DWITH_MIMALLOC) -D_GNU_SOURCE -Isrc $(shell pkg-config --cflags $(PKGS))
ALL_LIBS   = $(shell pkg-config --libs $(PKGS)) -lresolv -lm -lpthread

SRC_CORE  := $(filter-out src/main.c,$(shell find src -name '*.c' | sort))
SRC_APPS  := $(shell find apps -name '*.c' 2>/dev/null | sort)
OBJ_CORE  := $(patsubst %.c,$(BUILD)/%.o,$(SRC_CORE))
OBJ_APPS  := $(patsubst %.c,$(BUILD)/%.o,$(SRC_APPS))
LIB       := $(BUILD)/libcordboard.a
UNIT_SRC  := $(shell find tests/unit -name 'test_*.c' 2>/dev/null | sort)
UNIT_BIN  := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRC))

# G.729, by bcg729, whose licence is the GPL: only when asked for.
ifdef G729
ALL_CFLAGS += -DWITH_G729
ALL_LIBS   += -lbcg729
DEPS_G729  := libbcg729-dev
endif

# Debian packages: to build and run, and what tests need besides.
DEPS_BUILD := gcc make pkg-config libuv1-dev libpq-dev libsndfile1-dev libspandsp-dev libssl-dev openssl libjansson-dev \
	libconfig-dev libspeexdsp-dev libopus-dev libwebsockets-dev libwebsockets-evlib-uv libc-ares-dev libxml2-dev libsrtp2-dev libmimalloc-dev liblua5.4-dev uthash-dev postgresql-15 postgresql-client-15 \
	asterisk-core-sounds-en-g722 asterisk-moh-opsound-g722 $(DEPS_G729)
DEPS_TEST  := libcmocka-dev sox clang libclang-rt-14-dev sip-tester baresip-core linphone-cli postgresql-15-pgtap \
	libtap-parser-sourcehandler-pgtap-perl python3 python3-pytest python3-pytest-xdist python3-psycopg2 \
	dnsmasq-base tshark procps shellcheck nodejs npm chromium graphviz

PROMPTS_DIR := build/prompts
PREFIX      ?= /usr/local
SYSCONFDIR  ?= /etc
SHARE       := $(PREFIX)/share/cordboard

# One short line a file; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-4s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.SECONDARY:
.PHONY: all help clean deps deps-test run psql docs install prompts test units test-unit layers lint clang format

all: $(BUILD)/cordboard  ## build the server

$(BUILD)/cordboard: $(BUILD)/src/main.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LTO) -o $@ $< $(LIB) $(MALLOC) $(ALL_LIBS)

$(LIB): $(OBJ_CORE) $(OBJ_APPS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcsP $@ $^

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $< $(LIB) $(ALL_LIBS) -lcmocka

# Suites of `make test`, and those that run in the sanitizer build, too; the rules of a suite add it.
SUITES          := layers lint clang test-unit
SUITES_SANITIZE := test-unit

test: deps-test  ## all suites below, and again with ASan and UBSan; SANITIZE=1: those alone
	@tests/run.sh $(if $(SANITIZE),,$(SUITES)) $(SUITES_SANITIZE:%=%@sanitize)

units: $(UNIT_BIN)

test-unit: units  ## cmocka units
	@tests/unit/run.sh $(UNIT_BIN)

layers:  ## check that includes point down the layers of the design
	@tests/layers.sh

lint:  ## shellcheck of the scripts; docs/conformance.md names what is there
	@grep -rlE '^#!.*\b(ba)?sh\b' .ci config prompts sql tests | xargs shellcheck
	@tests/docs.sh

clang:  ## build it with clang, too (build-clang)
	@$(MAKE) --no-print-directory CC=clang all

deps:  ## install the Debian packages that are missing to build and run
	@config/deps.sh $(DEPS_BUILD)

deps-test: deps  ## those that the tests need, too
	@config/deps.sh $(DEPS_TEST)

# Building comes after deps even with -j: without the packages there is nothing to compile against.
run: deps  ## build and run it: RUN_DIR, SIP_ADDR, SIP_PORT, TLS_PORT, WS_PORT, WSS_PORT, RTP_PORTS, DEMO_SECRET, DATABASE_URL
	@$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) all prompts
	@CORDBOARD=$(abspath $(BUILD)/cordboard) PROMPTS_DIR=$(abspath $(PROMPTS_DIR)) exec config/run.sh

psql:  ## psql as the administrator
	@exec config/run.sh psql

docs: all  ## build/docs: a reference of the database from its comments, and a picture of its tables
	@config/deps.sh graphviz
	@dir=$$(mktemp -d /tmp/docs-XXXXXX); trap 'tests/lib/pgtmp stop $$dir; rm -rf $$dir' EXIT; \
	sql/docs.sh "$$(CORDBOARD=$(abspath $(BUILD)/cordboard) tests/lib/pgtmp start $$dir --empty)" $(BUILD)/docs && echo $(BUILD)/docs/reference.md $(BUILD)/docs/schema.svg

install: all prompts  ## install below PREFIX (/usr/local) and SYSCONFDIR (/etc), in DESTDIR
	install -D -m 755 $(BUILD)/cordboard $(DESTDIR)$(PREFIX)/bin/cordboard
	install -d $(DESTDIR)$(SHARE)/sql/migrations $(DESTDIR)$(SHARE)/prompts
	install -m 755 sql/migrate.sh sql/setup.sh sql/docs.sh $(DESTDIR)$(SHARE)/sql
	install -m 644 sql/README.md sql/demo.sql $(DESTDIR)$(SHARE)/sql
	install -m 644 sql/migrations/*.sql $(DESTDIR)$(SHARE)/sql/migrations
	cp -rT --no-preserve=mode,ownership $(PROMPTS_DIR) $(DESTDIR)$(SHARE)/prompts
	rm -f $(DESTDIR)$(SHARE)/prompts/.made
	for tsv in prompts/*/phrases.tsv; do install -m 644 $$tsv $(DESTDIR)$(SHARE)/$$tsv || exit; done
	sed 's|/usr/local/share/cordboard|$(SHARE)|' config/cordboard.conf >$(DESTDIR)$(SHARE)/cordboard.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/cordboard/cordboard.conf || \
		install -D -m 640 $(DESTDIR)$(SHARE)/cordboard.conf $(DESTDIR)$(SYSCONFDIR)/cordboard/cordboard.conf
	install -D -m 644 config/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/cordboard.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' config/cordboard.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/cordboard.service

format:  ## clang-format the sources
	@config/deps.sh clang-format
	clang-format -i $(shell find src apps tests -name '*.[ch]')

clean:  ## remove what was built
	rm -rf build build-*

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Suites and tools with rules of their own.
-include $(wildcard tests/*/rules.mk prompts/rules.mk)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
