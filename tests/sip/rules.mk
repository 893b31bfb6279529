# The SIP suite's tools.

$(BUILD)/tests/sip/lossy: $(BUILD)/tests/sip/lossy.o $(LIB)
	$(CC) $(SAN) -o $@ $< $(LIB) $(ALL_LIBS)
