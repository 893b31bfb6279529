# The server of the fuzz targets, with what it makes up before what is real.
LOOP_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fuzz/loop/*.c))

$(BUILD)/tests/fuzz/loop/%.o: ALL_CFLAGS += -Itests/fuzz
$(BUILD)/tests/unit/test_loop_nomem.o $(BUILD)/tests/unit/test_loop_seeds.o $(BUILD)/tests/unit/test_json_text.o: ALL_CFLAGS += -Itests/fuzz
$(BUILD)/tests/unit/test_loop_seeds: $(BUILD)/tests/unit/test_loop_seeds.o $(LOOP_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -Wl,-z,muldefs -o $@ $< $(LOOP_OBJ) $(LIB) $(ALL_LIBS) -lcmocka
$(BUILD)/tests/unit/test_loop_nomem: $(BUILD)/tests/unit/test_loop_nomem.o $(LOOP_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -Wl,-z,muldefs -Wl,--wrap=pidf_parse -o $@ $< $(LOOP_OBJ) $(LIB) $(ALL_LIBS) -lcmocka
$(BUILD)/tests/unit/test_json_text: $(BUILD)/tests/unit/test_json_text.o $(BUILD)/tests/fuzz/loop/json_text.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -fno-lto -o $@ $^ $(ALL_LIBS) -lcmocka

# Its pages.
$(BUILD)/tests/unit/test_t38: ALL_LIBS += -ltiff

# Its database comes before the real one, which commands to calls bring along.
$(BUILD)/tests/unit/test_live: ALL_LIBS += -Wl,-z,muldefs
# So do its outbox, transport and directory.
$(BUILD)/tests/unit/test_trace: ALL_LIBS += -Wl,-z,muldefs

# What explain() tells against what the engine does, more often than the suite has time for.
.PHONY: test-explain
test-explain: $(BUILD)/tests/unit/test_explain_property  ## explain() and the engine agree on 100,000 calls made up at random
	@EXPLAIN_CASES=100000 $<
