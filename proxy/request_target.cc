#include "proxy/request_target.h"

#include <algorithm>

namespace saola::proxy {
namespace {

using http1::HttpError;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Unexpected<HttpError> refuse(const char* reason) { return Unexpected{HttpError{400, reason}}; }

}  // namespace

bool climbs_above_root(std::string_view path) {
  if (path.find("..") == std::string_view::npos) return false;
  long depth = 0;
  for (std::size_t at = 0; at < path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto segment = path.substr(at, end - at);
    if (segment == "..") {
      if (--depth < 0) return true;
    } else if (!segment.empty() && segment != ".") {
      ++depth;
    }
    at = end + 1;
  }
  return false;
}

Result<void, HttpError> decode_path(std::string_view raw_path, std::string& out) {
  out.clear();
  const auto plain = raw_path.find_first_of(std::string_view("%\0", 2));
  if (plain == std::string_view::npos) {
    out.assign(raw_path);
  } else {
    out.reserve(raw_path.size());
    out.assign(raw_path.substr(0, plain));
    for (std::size_t i = plain; i < raw_path.size(); ++i) {
      if (raw_path[i] != '%') {
        if (raw_path[i] == '\0') return refuse("NUL in the path");
        out.push_back(raw_path[i]);
        continue;
      }
      if (raw_path.size() - i < 3) return refuse("incomplete percent sequence in the path");
      const int high = hex_value(raw_path[i + 1]);
      const int low = hex_value(raw_path[i + 2]);
      if (high < 0 || low < 0) return refuse("malformed percent sequence in the path");
      if (high == 0 && low == 0) return refuse("%00 in the path");
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
  }
  if (climbs_above_root(out)) return refuse("path climbs above the root");
  return {};
}

}  // namespace saola::proxy
