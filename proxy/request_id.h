// Request ids: 32 hex digits of ours, or the client's own if it is harmless (DESIGN: ids match
// [A-Za-z0-9._-]{1,128}, or are replaced). Unique, not secret.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace saola::proxy {

bool is_valid_request_id(std::string_view id);

class RequestIdSource {
 public:
  RequestIdSource();  // seeded from the kernel
  // Replaces `out` by a new id.
  void next(std::string& out);

 private:
  std::uint64_t next_word();
  std::uint64_t state_[2];
};

}  // namespace saola::proxy
