// The Date field's value, formatted once per second.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "proxy/http1/response_writer.h"

namespace saola::proxy {

class DateCache {
 public:
  std::string_view now() {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
    if (time.tv_sec != second_) {
      second_ = time.tv_sec;
      text_ = http1::http_date(second_);
    }
    return text_;
  }

 private:
  std::time_t second_ = -1;
  std::string text_;
};

}  // namespace saola::proxy
