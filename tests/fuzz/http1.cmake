saola_fuzz_target(NAME http1_request
  SOURCES http1_request_fuzz.cc ${PROJECT_SOURCE_DIR}/tests/support/http1_conversation.cc
  LIBS saola_http)
saola_fuzz_target(NAME http1_response SOURCES http1_response_fuzz.cc LIBS saola_http)
saola_fuzz_target(NAME proxy_protocol SOURCES proxy_protocol_fuzz.cc LIBS saola_http)
saola_fuzz_target(NAME forwarded SOURCES forwarded_fuzz.cc LIBS saola_http)
