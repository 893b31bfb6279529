# The SIP suite: SIPp and small peers in Python against the running server.

PYTHON ?= /usr/bin/python3
PYTEST  = BUILD=$(BUILD) $(PYTHON) -B -m pytest -q -p no:cacheprovider

.PHONY: test-sip

$(BUILD)/tests/sip/lossy: $(BUILD)/tests/sip/lossy.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $< $(LIB) $(ALL_LIBS)

$(BUILD)/tests/sip/flood: $(BUILD)/tests/sip/flood.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $<

# Three at a time on two cores: they mostly wait, as phones do.
test-sip: all prompts $(BUILD)/tests/sip/lossy $(BUILD)/tests/sip/flood  ## SIP scenarios against the running server
	@$(PYTEST) -n 3 tests/sip

# What 100,000 datagrams, 2,000 connections, storms and scanners do to calls: see the head of attack.py.
.PHONY: attack deps-attack
deps-attack: deps-test  ## the scanner that only attack needs
	@config/deps.sh sipvicious

attack: deps-attack all prompts $(BUILD)/tests/sip/flood  ## 100,000 bent datagrams, 2,000 half connections, storms and scans during calls
	@BUILD=$(BUILD) $(PYTHON) -B tests/sip/attack.py $(ATTACK_FLAGS)

SUITES          += test-sip
SUITES_SANITIZE += test-sip
