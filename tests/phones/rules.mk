# Real phones (baresip) against the running server, judged by what they hear.

# More workers than cores: phones mostly listen.
.PHONY: test-phones

test-phones: all prompts $(BUILD)/tests/media/compare  ## real phones: calls, hold, voicemail, menus
	@$(PYTEST) -n 4 tests/phones

SUITES          += test-phones
SUITES_SANITIZE += test-phones
