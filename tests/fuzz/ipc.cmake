saola_fuzz_target(NAME wire SOURCES wire_fuzz.cc LIBS saola_ipc)
saola_fuzz_target(NAME control_protocol SOURCES control_protocol_fuzz.cc LIBS saola_ipc)
saola_fuzz_target(NAME child_messages SOURCES child_messages_fuzz.cc LIBS saola_control)
