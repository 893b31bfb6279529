# Tools that measure sound and media, and the test that they measure right.

$(BUILD)/tests/media/%: ALL_CFLAGS += -I.

$(BUILD)/tests/media/compare: $(addprefix $(BUILD)/tests/media/,compare.o match.o fft.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS)

$(BUILD)/tests/media/test_match: $(addprefix $(BUILD)/tests/media/,test_match.o match.o fft.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -lcmocka

$(BUILD)/tests/media/test_transcode.o: ALL_CFLAGS += -DPROMPTS_DIR='"$(PROMPTS_DIR)"'

$(BUILD)/tests/media/test_transcode: $(addprefix $(BUILD)/tests/media/,test_transcode.o match.o fft.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -lcmocka

$(BUILD)/tests/media/test_mixing.o: ALL_CFLAGS += -DPROMPTS_DIR='"$(PROMPTS_DIR)"'

$(BUILD)/tests/media/test_mixing: $(addprefix $(BUILD)/tests/media/,test_mixing.o match.o fft.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -lcmocka

# Some of the units; they have the prompts for its speech.
MEDIA_BIN := $(BUILD)/tests/media/test_match $(BUILD)/tests/media/test_transcode $(BUILD)/tests/media/test_mixing
UNIT_BIN  += $(MEDIA_BIN)
units: $(MEDIA_BIN)
test-unit: $(MEDIA_BIN) prompts

# Units in a build with ThreadSanitizer: those of src/media, of what its threads share with the loop, and of who runs tasks.
TSAN_UNITS := amd apps beep cadence capture codec conceal digits dtls dtls_session dtmf emodel hearing ice jitter latch leg_pass live media media_ice \
	media_sound mix mixer move opaque outfile quality rtcp rtp secure stun stun_msg t38 tap tape task thread udptl voicemail
TSAN_BIN   := $(TSAN_UNITS:%=$(BUILD)/tests/unit/test_%) $(MEDIA_BIN)

.PHONY: test-tsan tsan-units
test-tsan:  ## units of media and tasks in a build with ThreadSanitizer
	@$(MAKE) --no-print-directory SANITIZE= TSAN=1 tsan-units

tsan-units: $(TSAN_BIN) prompts
	@SUITE=tsan UNIT_SECONDS=300 TSAN_OPTIONS="suppressions=$(abspath tests/unit/tsan.supp)" tests/unit/run.sh $(TSAN_BIN)
