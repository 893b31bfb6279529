# Real phones (baresip, Linphone, JsSIP) against the running server, judged by what they hear.

# More workers than cores: phones mostly listen.
.PHONY: test-phones

test-phones: all prompts build/js/.installed  ## real phones: calls, hold, voicemail, menus
	@$(MAKE) --no-print-directory SANITIZE= TSAN= build/tests/media/compare
	@tests/phones/run.sh env $(PYTEST) tests/phones

SUITES          += test-phones
SUITES_SANITIZE += test-phones
