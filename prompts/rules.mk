# Spoken phrases and music, converted once.

PROMPTS_CONVERT := build/tools/prompts-convert

$(PROMPTS_CONVERT): prompts/convert.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 $(CFLAGS) $(WARN) -D_GNU_SOURCE $(shell pkg-config --cflags sndfile spandsp) -o $@ $< \
		$(shell pkg-config --libs sndfile spandsp)

prompts: $(PROMPTS_CONVERT)  ## convert the phrases and the music
	@CONVERT=$(PROMPTS_CONVERT) prompts/make.sh $(PROMPTS_DIR)

# A phrase without its recording is a failed test.
SUITES += prompts
