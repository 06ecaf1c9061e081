#include "proxy/access_log_atoms.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/core/log.h"

namespace saola::proxy {
namespace {

struct AtomName {
  std::string_view name;
  Atom atom;
};

// The first group is gunicorn's, with gunicorn's meaning. docs/logging.md lists all.
constexpr AtomName kAtoms[] = {
    {"h", Atom::kClientHost},
    {"l", Atom::kIdent},
    {"u", Atom::kUser},
    {"t", Atom::kTime},
    {"r", Atom::kRequestLine},
    {"s", Atom::kStatus},
    {"m", Atom::kMethod},
    {"U", Atom::kPath},
    {"q", Atom::kQuery},
    {"H", Atom::kProtocol},
    {"b", Atom::kBytes},
    {"B", Atom::kBytes},
    {"f", Atom::kReferer},
    {"a", Atom::kUserAgent},
    {"T", Atom::kSeconds},
    {"D", Atom::kMicroseconds},
    {"M", Atom::kMilliseconds},
    {"L", Atom::kDecimalSeconds},
    {"p", Atom::kPid},
    {"request_id", Atom::kRequestId},
    {"queue", Atom::kQueueWait},
    {"app_time", Atom::kAppTime},
    {"app", Atom::kApp},
    {"worker", Atom::kWorker},
    {"generation", Atom::kGeneration},
    {"retries", Atom::kRetries},
    {"upstream", Atom::kUpstream},
    {"outcome", Atom::kOutcome},
    {"tls", Atom::kTlsVersion},
    {"scheme", Atom::kScheme},
    {"host", Atom::kHost},
    {"port", Atom::kClientPort},
    {"target", Atom::kTarget},
    {"request_bytes", Atom::kRequestBytes},
    {"time", Atom::kIsoTime},
};

// What %({...}e)s can say here: the part of the WSGI environ that the edge knows.
constexpr AtomName kVariables[] = {
    {"request_method", Atom::kMethod},  {"path_info", Atom::kPath},
    {"query_string", Atom::kQuery},     {"server_protocol", Atom::kProtocol},
    {"remote_addr", Atom::kClientHost}, {"remote_port", Atom::kClientPort},
    {"raw_uri", Atom::kTarget},         {"request_uri", Atom::kTarget},
    {"wsgi.url_scheme", Atom::kScheme},
};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

LogOp header_op(Atom atom, std::string name) {
  if (atom == Atom::kRequestHeader && name == "referer") return {Atom::kReferer};
  const std::uint8_t id = ipc::header_name_id(name);
  return {atom, std::move(name), id};
}

LogOp variable_op(std::string name) {
  for (const AtomName& known : kVariables) {
    if (known.name == name) return {known.atom};
  }
  if (name == "content_type" || name == "content_length" || name.starts_with("http_")) {
    const bool joined = name.starts_with("http_");
    if (joined) name.erase(0, 5);
    std::replace(name.begin(), name.end(), '_', '-');
    return header_op(joined ? Atom::kVariable : Atom::kRequestHeader, std::move(name));
  }
  return {Atom::kLiteral, "-"};  // the worker's matter, as a variable that gunicorn does not find
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void append_text(std::string& out, std::string_view text) {
  if (text.empty()) {
    out.push_back('-');
  } else {
    append_escaped(out, text);
  }
}

std::uint64_t count_of(std::chrono::microseconds time) {
  return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

// RFC 4648 section 4; false for anything else, and then `out` means nothing.
bool base64_decode(std::string_view text, std::string& out) {
  out.clear();
  if (text.size() % 4 != 0) return false;
  while (text.ends_with('=')) text.remove_suffix(1);
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return false;
    bits = (bits << 6U) | static_cast<unsigned>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xffU));
    }
  }
  return true;
}

// The user of Basic authentication (RFC 7617), as gunicorn shows it: whether or not the app
// believes it.
void append_user(std::string& out, const AccessRecord& record, std::string& scratch) {
  static const std::uint8_t id = ipc::header_name_id("authorization");
  std::string_view value = last_field(record.request_fields, id, "authorization");
  const std::size_t space = value.find(' ');
  const bool basic = space != std::string_view::npos && space == 5 &&
                     lower_case(value.substr(0, space)) == "basic";
  std::string_view user;
  if (basic) {
    value.remove_prefix(space);
    while (value.starts_with(' ')) value.remove_prefix(1);
    while (value.ends_with(' ')) value.remove_suffix(1);
    if (base64_decode(value, scratch))
      user = std::string_view(scratch).substr(0, scratch.find(':'));
  }
  append_text(out, user);
}

// A URL without its query, if that is hidden.
void append_url(std::string& out, std::string_view url, bool hidden, std::string& scratch) {
  if (!hidden) return append_text(out, url);
  scratch.clear();
  append_without_query(scratch, url);
  append_text(out, scratch);
}

// What is there, or that something is.
void append_secret(std::string& out, std::string_view text, bool hidden) {
  append_text(out, hidden && !text.empty() ? kRedacted : text);
}

void append_request_line(std::string& out, const AccessRecord& record, bool hidden,
                         std::string& scratch) {
  if (record.method.empty()) {
    out.push_back('-');
    return;
  }
  append_escaped(out, record.method);
  out.push_back(' ');
  append_url(out, record.target, hidden, scratch);
  out.push_back(' ');
  out += protocol_name(record.version);
}

void append_worker(std::string& out, const AccessRecord& record, Atom atom) {
  if (record.worker_pid == 0) {
    out.push_back('-');
  } else if (atom == Atom::kPid) {
    out.push_back('<');
    append_number(out, record.worker_pid);
    out.push_back('>');
  } else {
    append_number(out, atom == Atom::kWorker ? record.worker_id : record.generation);
  }
}

// HTTP_... of the environ: a header that came several times is joined there.
void append_variable(std::string& out, const LogOp& op, const AccessRecord& record) {
  const std::size_t before = out.size();
  if (record.request_fields == nullptr) return out.push_back('-');
  for (const ipc::Field& field : *record.request_fields) {
    const bool known = op.name_id != 0 && field.name_id != 0;
    if (known ? field.name_id != op.name_id : field.name != op.text) continue;
    if (out.size() != before) out.push_back(',');
    append_escaped(out, field.value);
  }
  if (out.size() == before) return out.push_back('-');
  if (!op.hidden) return;
  out.resize(before);
  out += kRedacted;
}

void append_two_digits(std::string& out, int number) {
  out.push_back(static_cast<char>('0' + number / 10 % 10));
  out.push_back(static_cast<char>('0' + number % 10));
}

}  // namespace

std::optional<LogOp> find_atom(std::string_view name) {
  for (const AtomName& known : kAtoms) {
    if (known.name == name) return LogOp{known.atom};
  }
  const std::size_t close = name.find('}');
  if (!name.starts_with('{') || close == std::string_view::npos || close == 1 ||
      close + 2 != name.size()) {
    return std::nullopt;
  }
  std::string inner = lower_case(name.substr(1, close - 1));
  switch (name.back()) {
    case 'i':
      return header_op(Atom::kRequestHeader, std::move(inner));
    case 'o':
      return header_op(Atom::kResponseHeader, std::move(inner));
    case 'e':
      return variable_op(std::move(inner));
    default:
      return std::nullopt;
  }
}

std::vector<std::string_view> atom_names() {
  std::vector<std::string_view> names;
  for (const AtomName& known : kAtoms) names.push_back(known.name);
  names.insert(names.end(), {"{header}i", "{header}o", "{variable}e"});
  return names;
}

bool is_hidden(const LogOp& op, const Redaction& redaction) {
  switch (op.atom) {
    case Atom::kRequestLine:
    case Atom::kTarget:
    case Atom::kQuery:
    case Atom::kReferer:
      return redaction.query;
    case Atom::kRequestHeader:
    case Atom::kResponseHeader:
    case Atom::kVariable:
      return is_hidden_field(op.text, redaction);
    default:
      return false;
  }
}

std::string_view LogClock::common(Time time) {
  const std::time_t second =
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
  if (second != common_second_) {
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm calendar{};
    ::localtime_r(&second, &calendar);
    const long offset = calendar.tm_gmtoff / 60;
    common_ = fmt::format("[{:02}/{}/{}:{:02}:{:02}:{:02} {}{:02}{:02}]", calendar.tm_mday,
                          kMonths[calendar.tm_mon], calendar.tm_year + 1900, calendar.tm_hour,
                          calendar.tm_min, calendar.tm_sec, offset < 0 ? '-' : '+',
                          std::abs(offset) / 60, std::abs(offset) % 60);
    common_second_ = second;
  }
  return common_;
}

void LogClock::append_iso(std::string& out, Time time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t second = std::chrono::system_clock::to_time_t(whole);
  if (second != iso_second_) {
    std::tm calendar{};
    ::gmtime_r(&second, &calendar);
    iso_ = fmt::format("{}-{:02}-{:02}T{:02}:{:02}:{:02}.", calendar.tm_year + 1900,
                       calendar.tm_mon + 1, calendar.tm_mday, calendar.tm_hour, calendar.tm_min,
                       calendar.tm_sec);
    iso_second_ = second;
  }
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  out += iso_;
  out.push_back(static_cast<char>('0' + rest / 100));
  append_two_digits(out, static_cast<int>(rest % 100));
  out.push_back('Z');
}

// The last one counts where a header came several times, as in gunicorn.
std::string_view last_field(const std::vector<ipc::Field>* fields, std::uint8_t id,
                            std::string_view name) {
  if (fields == nullptr) return {};
  for (auto field = fields->rbegin(); field != fields->rend(); ++field) {
    if (id != 0 && field->name_id != 0 ? field->name_id == id : field->name == name) {
      return field->value;
    }
  }
  return {};
}

std::string_view protocol_name(ipc::HttpVersion version) {
  switch (version) {
    case ipc::HttpVersion::k10:
      return "HTTP/1.0";
    case ipc::HttpVersion::k11:
      return "HTTP/1.1";
    case ipc::HttpVersion::k2:
      return "HTTP/2.0";
  }
  return "-";
}

void append_decimal_seconds(std::string& out, std::chrono::microseconds time) {
  const std::uint64_t all = count_of(time);
  append_number(out, all / 1000000);
  std::array<char, 7> fraction{'.'};
  std::uint64_t rest = all % 1000000;
  for (std::size_t i = 6; i >= 1; --i, rest /= 10) fraction[i] = static_cast<char>('0' + rest % 10);
  out.append(fraction.data(), fraction.size());
}

void append_atom(std::string& out, const LogOp& op, const AccessRecord& record, LogClock& clock,
                 std::string& scratch) {
  const auto field = [&op](const std::vector<ipc::Field>* fields) {
    return last_field(fields, op.name_id, op.text);
  };
  switch (op.atom) {
    case Atom::kLiteral:
      out += op.text;
      return;
    case Atom::kClientHost:
      return append_text(out, record.client_host);
    case Atom::kIdent:
      return out.push_back('-');
    case Atom::kUser:
      return append_user(out, record, scratch);
    case Atom::kTime:
      out += clock.common(record.finished);
      return;
    case Atom::kIsoTime:
      return clock.append_iso(out, record.finished);
    case Atom::kRequestLine:
      return append_request_line(out, record, op.hidden, scratch);
    case Atom::kStatus:
      if (record.status == 0) return out.push_back('-');
      return append_number(out, static_cast<std::uint64_t>(record.status));
    case Atom::kMethod:
      return append_text(out, record.method);
    case Atom::kPath:
      percent_decode(record.raw_path, scratch);
      return append_text(out, scratch);
    case Atom::kQuery:
      // An empty one is not a missing one.
      return append_escaped(out, op.hidden && !record.query.empty() ? kRedacted : record.query);
    case Atom::kProtocol:
      out += protocol_name(record.version);
      return;
    case Atom::kBytes:
      return append_number(out, record.response_bytes);
    case Atom::kReferer:
      return append_url(out, last_field(record.request_fields, ipc::field::kReferer, "referer"),
                        op.hidden, scratch);
    case Atom::kUserAgent:
      return append_text(out,
                         last_field(record.request_fields, ipc::field::kUserAgent, "user-agent"));
    case Atom::kSeconds:
      return append_number(out, count_of(record.total) / 1000000);
    case Atom::kMicroseconds:
      return append_number(out, count_of(record.total));
    case Atom::kMilliseconds:
      return append_number(out, count_of(record.total) / 1000);
    case Atom::kDecimalSeconds:
      return append_decimal_seconds(out, record.total);
    case Atom::kPid:
    case Atom::kWorker:
    case Atom::kGeneration:
      return append_worker(out, record, op.atom);
    case Atom::kRequestHeader:
      return append_secret(out, field(record.request_fields), op.hidden);
    case Atom::kResponseHeader:
      return append_secret(out, field(record.response_fields), op.hidden);
    case Atom::kVariable:
      return append_variable(out, op, record);
    case Atom::kClientPort:
      return append_number(out, record.client_port);
    case Atom::kTarget:
      return append_url(out, record.target, op.hidden, scratch);
    case Atom::kScheme:
      out += record.scheme == ipc::Scheme::kHttps ? "https" : "http";
      return;
    case Atom::kHost:
      return append_text(out, record.authority);
    case Atom::kRequestBytes:
      return append_number(out, record.request_bytes);
    case Atom::kQueueWait:
      return append_decimal_seconds(out, record.queue_wait);
    case Atom::kAppTime:
      return append_decimal_seconds(out, record.app_time);
    case Atom::kRequestId:
      return append_text(out, record.request_id);
    case Atom::kApp:
      return append_text(out, record.app);
    case Atom::kRetries:
      return append_number(out, static_cast<std::uint64_t>(std::max(record.retries, 0)));
    case Atom::kTlsVersion:
      return append_text(out, record.tls_version);
    case Atom::kUpstream:
      return append_text(out, record.upstream);
    case Atom::kOutcome:
      return append_text(out, record.outcome);
  }
}

}  // namespace saola::proxy
