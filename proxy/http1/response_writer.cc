#include "proxy/http1/response_writer.h"

#include <cstring>
#include <optional>

#include "proxy/http1/syntax.h"

namespace saola::proxy::http1 {

namespace field = ipc::field;

namespace {

constexpr std::string_view kCrlf = "\r\n";

void append_decimal(std::string& out, std::uint64_t value) {
  char digits[20];
  char* at = digits + sizeof digits;
  do {
    *--at = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  out.append(at, static_cast<std::size_t>(digits + sizeof digits - at));
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  const std::size_t at = out.size();
  out.resize(at + name.size() + value.size() + 4);
  char* to = out.data() + at;
  std::memcpy(to, name.data(), name.size());
  to += name.size();
  *to++ = ':';
  *to++ = ' ';
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
  to += value.size();
  *to++ = '\r';
  *to = '\n';
}

void append_length(std::string& out, std::int64_t length) {
  out.append("content-length: ");
  append_decimal(out, static_cast<std::uint64_t>(length));
  out.append(kCrlf);
}

// CR and LF would end the field, NUL ends it for some readers.
bool is_safe_value(std::string_view value) {
  const char* const end = value.data() + value.size();
  for (const char* at = find_control(value.data(), end); at != end;
       at = find_control(at + 1, end)) {
    if (*at == '\r' || *at == '\n' || *at == '\0') return false;
  }
  return true;
}

void append_status_line(std::string& out, int status, std::string_view reason = {}) {
  if (status == 200 && reason.empty()) {  // nearly all
    out.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  const auto phrase = reason.empty() || !is_safe_value(reason) ? reason_phrase(status) : reason;
  const auto digit = [&](int unit) { return static_cast<char>('0' + status / unit % 10); };
  const char code[] = {digit(100), digit(10), digit(1), ' '};
  out.append("HTTP/1.1 ").append(code, sizeof code).append(phrase).append(kCrlf);
}

// A name with an id comes from our own table.
bool is_safe(const ipc::Field& f) {
  return (f.name_id != 0 || is_token(f.name)) && is_safe_value(f.value);
}

// The name's id, also when the worker has spelled the name out.
std::uint8_t id_of(const ipc::Field& f) {
  char name[32];
  if (f.name_id != 0 || f.name.size() > sizeof name) return f.name_id;
  f.name.copy(name, f.name.size());
  if (!lower_field_name(name, f.name.size())) return 0;
  return ipc::header_name_id({name, f.name.size()});
}

// RFC 9110 section 7.6.1. Content-Length and Transfer-Encoding are ours to write.
bool is_connection_field(std::uint8_t name_id) {
  switch (name_id) {
    case field::kConnection:
    case field::kKeepAlive:
    case field::kProxyConnection:
    case field::kTe:
    case field::kTransferEncoding:
    case field::kUpgrade:
    case field::kContentLength:
      return true;
    default:
      return false;
  }
}

bool has_no_body(ipc::Method method, int status) {
  return method == ipc::Method::kHead || status < 200 || status == 204 || status == 304;
}

// What a first look over the app's fields finds.
struct Survey {
  bool close = false;
  bool connection = false;
  bool bad_length = false;
  std::optional<std::int64_t> length;
};

void survey_connection(Survey& survey, std::string_view value) {
  survey.connection = true;
  while (const auto option = next_list_element(value)) {
    survey.close |= equals_ignoring_case(*option, "close");
  }
}

void survey_length(Survey& survey, std::string_view value) {
  const auto length = parse_content_length(value);
  survey.bad_length |= !length || (survey.length && survey.length != length);
  survey.length = length;
}

Survey survey_fields(const std::vector<ipc::Field>& fields) {
  Survey survey;
  for (const auto& f : fields) {
    switch (id_of(f)) {
      case field::kConnection:
        survey_connection(survey, f.value);
        break;
      case field::kContentLength:
        survey_length(survey, f.value);
        break;
      default:
        break;
    }
  }
  if (survey.bad_length) survey.length.reset();
  return survey;
}

// True if the app's own Connection names the field.
bool is_named_by_connection(const std::vector<ipc::Field>& fields, std::string_view name) {
  for (const auto& f : fields) {
    if (id_of(f) != field::kConnection) continue;
    std::string_view value = f.value;
    while (const auto option = next_list_element(value)) {
      if (equals_ignoring_case(*option, name)) return true;
    }
  }
  return false;
}

// Fields that the server adds unless the app has written its own.
struct Present {
  bool date = false;
  bool server = false;
  bool request_id = false;
};

Present append_app_fields(std::string& out, const std::vector<ipc::Field>& fields,
                          const Survey& survey, bool chunked) {
  Present present;
  for (const auto& f : fields) {
    const auto id = id_of(f);
    if (is_connection_field(id) || !is_safe(f)) continue;
    if (id == field::kTrailer && !chunked) continue;  // there will be no trailer section
    if (survey.connection && is_named_by_connection(fields, f.name)) continue;
    append_field(out, f.name, f.value);
    present.date |= id == field::kDate;
    present.server |= id == field::kServer;
    present.request_id |= id == field::kXRequestId;
  }
  return present;
}

void append_own_fields(std::string& out, const ResponseOptions& options, const Present& present) {
  if (!present.date && !options.date.empty()) append_field(out, "date", options.date);
  if (!present.server && !options.server.empty()) append_field(out, "server", options.server);
  if (!present.request_id && !options.request_id.empty() && is_safe_value(options.request_id)) {
    append_field(out, "x-request-id", options.request_id);
  }
}

void append_connection(std::string& out, const WrittenHead& written,
                       const ResponseOptions& options) {
  if (!written.keep_alive) {
    out.append("connection: close\r\n");
  } else if (options.request_version == ipc::HttpVersion::k10) {
    out.append("connection: keep-alive\r\n");
  }
}

// Framing of RFC 9112 section 6 for a response whose body's length is `length`, or not known.
WrittenHead choose_framing(bool no_body, std::int64_t length, bool keep_alive,
                           const ResponseOptions& options) {
  if (no_body) return {Framing::kNone, keep_alive, length};
  if (length >= 0) return {Framing::kLength, keep_alive, length};
  if (options.request_version == ipc::HttpVersion::k10) return {Framing::kUntilClose, false, -1};
  return {Framing::kChunked, keep_alive, -1};
}

// Whether a Content-Length may be told (RFC 9110 section 8.6). A response without a body tells the
// length that the body would have had: that is for the app to say, and 0 is what frameworks say
// when they mean "none".
bool may_tell_length(const ipc::ResponseHeadView& head, const ResponseOptions& options,
                     bool from_app, std::int64_t length) {
  if (length < 0 || head.status < 200 || head.status == 204) return false;
  if (head.status == 304) return from_app && length > 0;
  if (options.request_method == ipc::Method::kHead) return from_app || length > 0;
  return true;
}

}  // namespace

WrittenHead write_response_head(std::string& out, const ipc::ResponseHeadView& head,
                                const ResponseOptions& options) {
  const Survey survey = survey_fields(head.fields);
  const std::int64_t length = survey.length.value_or(head.content_length);
  const bool told = may_tell_length(head, options, survey.length.has_value(), length);
  const auto written =
      choose_framing(has_no_body(options.request_method, head.status), told ? length : -1,
                     options.keep_alive && !survey.close, options);
  append_status_line(out, head.status, head.reason);
  const auto present =
      append_app_fields(out, head.fields, survey, written.framing == Framing::kChunked);
  append_own_fields(out, options, present);
  if (told) append_length(out, length);
  if (written.framing == Framing::kChunked) out.append("transfer-encoding: chunked\r\n");
  append_connection(out, written, options);
  out.append(kCrlf);
  return written;
}

void write_interim_head(std::string& out, const ipc::ResponseHeadView& head) {
  append_status_line(out, head.status);
  append_app_fields(out, head.fields, survey_fields(head.fields), false);
  out.append(kCrlf);
}

void write_continue(std::string& out) { out.append("HTTP/1.1 100 Continue\r\n\r\n"); }

void write_chunk(std::string& out, std::string_view data) {
  if (data.empty()) return;
  char digits[16];
  char* at = digits + sizeof digits;
  for (std::size_t size = data.size(); size != 0; size >>= 4)
    *--at = "0123456789abcdef"[size & 0xf];
  out.append(at, static_cast<std::size_t>(digits + sizeof digits - at));
  out.append(kCrlf).append(data).append(kCrlf);
}

void write_last_chunk(std::string& out, const std::vector<ipc::Field>& trailers) {
  out.append("0\r\n");
  for (const auto& f : trailers) {
    // RFC 9110 section 6.5.1: nothing that says how to read the message.
    const auto id = id_of(f);
    if (is_connection_field(id) || id == field::kTrailer || id == field::kHost || !is_safe(f)) {
      continue;
    }
    append_field(out, f.name, f.value);
  }
  out.append(kCrlf);
}

void write_error_response(std::string& out, int status, std::string_view request_id,
                          std::string_view extra_fields, const ResponseOptions& options) {
  const bool tell_id = !request_id.empty() && is_safe_value(request_id);
  std::string body;
  append_decimal(body, static_cast<std::uint64_t>(status));
  if (const auto phrase = reason_phrase(status); !phrase.empty()) body.append(" ").append(phrase);
  body.append("\n");
  if (tell_id) body.append("request id: ").append(request_id).append("\n");

  append_status_line(out, status);
  append_field(out, "content-type", "text/plain; charset=utf-8");
  // RFC 9110 section 15.5.6 wants the list; what the app allows for a path is its own matter.
  if (status == 405 && extra_fields.empty())
    append_field(out, "allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  out.append(extra_fields);
  if (!options.date.empty()) append_field(out, "date", options.date);
  if (!options.server.empty()) append_field(out, "server", options.server);
  if (tell_id) append_field(out, "x-request-id", request_id);
  append_length(out, static_cast<std::int64_t>(body.size()));
  append_connection(out, {Framing::kLength, options.keep_alive, 0}, options);
  out.append(kCrlf);
  if (!has_no_body(options.request_method, status)) out.append(body);
}

std::string http_date(std::int64_t unix_seconds) {
  constexpr std::string_view kDays = "ThuFriSatSunMonTueWed";  // 1 January 1970 was a Thursday
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::int64_t days = unix_seconds / 86400;
  std::int64_t second = unix_seconds % 86400;
  if (second < 0) {
    second += 86400;
    --days;
  }
  // Days since 1970 to a date of the Gregorian calendar, counting years from March, so that a leap
  // day ends one.
  const std::int64_t shifted = days + 719468;
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const std::int64_t day_of_era = shifted - era * 146097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const std::int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const std::int64_t month = (month_from_march + 2) % 12;  // 0: January
  const std::int64_t year = year_of_era + era * 400 + (month < 2 ? 1 : 0);
  const auto weekday = static_cast<std::size_t>(((days % 7) + 7) % 7);

  std::string date;
  date.reserve(29);
  const auto two = [&](std::int64_t value) {
    date.push_back(static_cast<char>('0' + value / 10));
    date.push_back(static_cast<char>('0' + value % 10));
  };
  date.append(kDays.substr(weekday * 3, 3)).append(", ");
  two(day);
  date.append(" ").append(kMonths.substr(static_cast<std::size_t>(month) * 3, 3)).append(" ");
  two(year / 100);
  two(year % 100);
  date.append(" ");
  two(second / 3600);
  date.append(":");
  two(second / 60 % 60);
  date.append(":");
  two(second % 60);
  date.append(" GMT");
  return date;
}

}  // namespace saola::proxy::http1
