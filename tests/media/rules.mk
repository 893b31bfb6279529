# Tools that measure sound and media, and the test that they measure right.

$(BUILD)/tests/media/%: ALL_CFLAGS += -I.

$(BUILD)/tests/media/compare: $(addprefix $(BUILD)/tests/media/,compare.o match.o fft.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS)

$(BUILD)/tests/media/test_match: $(addprefix $(BUILD)/tests/media/,test_match.o match.o fft.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -lcmocka

# One of the units.
UNIT_BIN  += $(BUILD)/tests/media/test_match
test-unit: $(BUILD)/tests/media/test_match
