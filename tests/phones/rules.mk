# Real phones (baresip, Linphone, JsSIP) against the running server, judged by what they hear.

# More workers than cores: phones mostly listen.
.PHONY: test-phones

test-phones: all prompts build/js/.installed  ## real phones: calls, hold, voicemail, menus
	@$(MAKE) --no-print-directory SANITIZE= TSAN= build/tests/media/compare
	@$(PYTEST) -n 6 tests/phones

SUITES          += test-phones
# Two minutes and a half that `make test` has not: with SANITIZE=1 alone.
SUITES_SANITIZE += $(if $(SANITIZE),test-phones)
