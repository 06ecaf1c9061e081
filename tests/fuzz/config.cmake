saola_fuzz_target(NAME config SOURCES config_fuzz.cc LIBS saola_config)
