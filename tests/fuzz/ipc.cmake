saola_fuzz_target(NAME wire SOURCES wire_fuzz.cc LIBS saola_ipc)
