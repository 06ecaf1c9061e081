#include "proxy/http1/request_parser.h"

#include <llhttp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/core/check.h"
#include "proxy/http1/head_scanner.h"
#include "proxy/http1/syntax.h"

// Three readers look at a head, each for what it is good at.
//
// 1. HeadScanner, as bytes come: line ends, control bytes, folding, limits. What llhttp would let
//    pass here (a CR alone ends a line: CVE-2023-30589; a line that starts with a space joins the
//    one before: CVE-2024-27982) never reaches it.
// 2. Our reading of the request line, as soon as it is complete: its exact grammar, the version,
// the target's form.
// 3. llhttp over the whole head, for the fields; then their meaning together (RFC 9112 section 6).
//    llhttp must agree with 1 and 2: the same number of fields, or the request is refused.

namespace saola::proxy::http1 {

namespace field = ipc::field;

namespace {

constexpr std::size_t kMaxMethod = 32;
// RFC 9112 section 2.2 asks for at least one; some old clients send CRLF after a body.
constexpr int kMaxEmptyLines = 2;

Unexpected<HttpError> refuse(int status, const char* reason) {
  return Unexpected{HttpError{status, reason}};
}

}  // namespace

void RequestHead::clear() {
  method = ipc::Method::kGet;
  version = ipc::HttpVersion::k11;
  form = TargetForm::kOrigin;
  keep_alive = true;
  expect_continue = upgrade = chunked = false;
  content_length = 0;
  method_text = target = authority = raw_path = query = {};
  fields.clear();
  text.clear();
}

struct RequestParser::State {
  explicit State(const HeadLimits& the_limits) : limits(the_limits) {}

  using Step = Result<void, HttpError>;

  Result<std::size_t, HttpError> feed(std::string_view input);
  Step skip_empty_lines(std::string_view input, std::size_t& at);
  Step read_request_line();
  Step read_version(std::string_view line, std::string_view& rest);
  Step read_target();
  Step read_absolute_target(std::string_view after_scheme, std::string_view default_port);
  Step run_llhttp();
  Step read_fields();
  Step read_field(ipc::Field& field);
  Step read_connection(std::string_view value);
  Step read_transfer_encoding(std::string_view value);
  Step check_whole();
  Step check_host();

  // What the fields said, until check_whole() has judged them together.
  struct Seen {
    std::string_view host;
    std::string_view target_authority;  // of absolute-form
    std::string_view default_port;      // of its scheme
    int hosts = 0;
    int lengths = 0;
    int codings = 0;
    bool close = false;
    bool keep_alive = false;
    bool upgrade_token = false;
    bool upgrade_field = false;
    bool expect = false;
  };

  HeadLimits limits;
  HeadScanner scanner;
  RequestHead head;
  Seen seen;
  std::optional<HttpError> error;
  const char* line_base = nullptr;  // what the request line's views were made from
  int empty_lines = 0;
  bool empty_cr = false;    // the CR of an empty line before the request has come
  bool value_open = false;  // llhttp's last span was a value
};

RequestParser::RequestParser(const HeadLimits& limits) : state_(std::make_unique<State>(limits)) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

bool RequestParser::complete() const { return state_->scanner.complete() && !state_->error; }
bool RequestParser::idle() const { return state_->head.text.empty(); }

void RequestParser::take_head(RequestHead& head) {
  SAOLA_CHECK(complete());
  std::swap(state_->head, head);
  state_->head.clear();
  state_->scanner = HeadScanner();
  state_->seen = State::Seen();
  state_->empty_lines = 0;
}

void RequestParser::release_buffers() {
  if (idle()) state_->head = RequestHead();
}

Result<std::size_t, HttpError> RequestParser::feed(std::string_view input) {
  if (state_->error) return Unexpected{*state_->error};
  if (state_->scanner.complete()) return std::size_t{0};
  auto taken = state_->feed(input);
  if (!taken) state_->error = taken.error();
  return taken;
}

Result<std::size_t, HttpError> RequestParser::State::feed(std::string_view input) {
  std::size_t at = 0;
  if (head.text.empty()) {
    if (auto step = skip_empty_lines(input, at); !step) return Unexpected{step.error()};
  }
  while (at < input.size() && !scanner.complete()) {
    const bool had_request_line = scanner.has_request_line();
    const auto piece = input.substr(at);
    const auto scanned = scanner.scan(piece, limits);
    if (!scanned) return Unexpected{scanned.error()};
    head.text.insert(head.text.end(), piece.data(), piece.data() + *scanned);
    at += *scanned;
    if (!had_request_line && scanner.has_request_line()) {
      if (auto step = read_request_line(); !step) return Unexpected{step.error()};
    }
  }
  if (scanner.complete()) {
    if (head.text.data() != line_base) {  // the text has moved since its first line was read
      if (auto step = read_request_line(); !step) return Unexpected{step.error()};
    }
    if (auto step = run_llhttp(); !step) return Unexpected{step.error()};
    if (auto step = read_fields(); !step) return Unexpected{step.error()};
    if (auto step = check_whole(); !step) return Unexpected{step.error()};
  }
  return at;
}

RequestParser::State::Step RequestParser::State::skip_empty_lines(std::string_view input,
                                                                  std::size_t& at) {
  for (; at < input.size(); ++at) {
    if (empty_cr) {
      if (input[at] != '\n') return refuse(400, "CR without LF before the request line");
      empty_cr = false;
      if (++empty_lines > kMaxEmptyLines) return refuse(400, "empty lines before the request line");
    } else if (input[at] == '\r') {
      empty_cr = true;
    } else {
      break;
    }
  }
  return {};
}

// METHOD SP target SP HTTP/x.y, single spaces and nothing else (RFC 9112 section 3).
RequestParser::State::Step RequestParser::State::read_request_line() {
  line_base = head.text.data();
  const std::string_view line(line_base, scanner.request_line_size());
  std::string_view rest;
  if (auto step = read_version(line, rest); !step) return step;

  const auto space = rest.find(' ');
  if (space == std::string_view::npos) return refuse(400, "request line without three parts");
  head.method_text = rest.substr(0, space);
  head.target = rest.substr(space + 1);
  if (!is_token(head.method_text)) return refuse(400, "method is no token");
  if (head.method_text.size() > kMaxMethod) return refuse(501, "method too long");
  head.method = ipc::method_id(head.method_text);
  if (head.method == ipc::Method::kConnect || head.method == ipc::Method::kTrace) {
    return refuse(405, "CONNECT and TRACE are not served");
  }
  return read_target();
}

RequestParser::State::Step RequestParser::State::read_version(std::string_view line,
                                                              std::string_view& rest) {
  constexpr std::string_view kName = " HTTP/";
  constexpr std::size_t kSize = kName.size() + 3;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (line.size() < kSize) return refuse(400, "request line without a version");
  const auto version = line.substr(line.size() - kSize);
  if (!version.starts_with(kName) || !digit(version[6]) || version[7] != '.' ||
      !digit(version[8])) {
    return refuse(400, "request line without a version");
  }
  rest = line.substr(0, line.size() - kSize);
  if (version[6] != '1' || version[8] > '1') return refuse(505, "HTTP version not supported");
  head.version = version[8] == '1' ? ipc::HttpVersion::k11 : ipc::HttpVersion::k10;
  return {};
}

RequestParser::State::Step RequestParser::State::read_target() {
  const auto target = head.target;
  if (target.empty()) return refuse(400, "request target is empty");
  bool bad = false;
  for (const char c : target) bad |= (c < 0x21) | (c > 0x7e) | (c == '#');
  if (bad) return refuse(400, "fragment, or a byte not allowed, in a request target");
  if (target.front() == '/') {
    head.form = TargetForm::kOrigin;
    const auto question = target.find('?');
    head.raw_path = target.substr(0, question);
    if (question != std::string_view::npos) head.query = target.substr(question + 1);
    return {};
  }
  if (target == "*") {
    if (head.method != ipc::Method::kOptions) return refuse(400, "target * without OPTIONS");
    head.form = TargetForm::kAsterisk;
    head.raw_path = target;
    return {};
  }
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  if (equals_ignoring_case(target.substr(0, kHttp.size()), kHttp)) {
    return read_absolute_target(target.substr(kHttp.size()), "80");
  }
  if (equals_ignoring_case(target.substr(0, kHttps.size()), kHttps)) {
    return read_absolute_target(target.substr(kHttps.size()), "443");
  }
  return refuse(400, "request target of an unknown form");
}

RequestParser::State::Step RequestParser::State::read_absolute_target(
    std::string_view after_scheme, std::string_view default_port) {
  head.form = TargetForm::kAbsolute;
  const auto authority_end = std::min(after_scheme.find_first_of("/?"), after_scheme.size());
  const auto authority = after_scheme.substr(0, authority_end);
  const auto path_and_query = after_scheme.substr(authority_end);
  if (!is_valid_authority(authority)) return refuse(400, "invalid authority in a request target");
  seen.target_authority = authority;
  seen.default_port = default_port;
  const auto question = path_and_query.find('?');
  head.raw_path = path_and_query.substr(0, question);
  if (head.raw_path.empty()) head.raw_path = "/";
  if (question != std::string_view::npos) head.query = path_and_query.substr(question + 1);
  return {};
}

// The head is contiguous, so each name and value comes as one span, or as spans that touch.
RequestParser::State::Step RequestParser::State::run_llhttp() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_header_field = [](llhttp_t* parser, const char* at, std::size_t size) {
      auto& self = *static_cast<State*>(parser->data);
      auto& fields = self.head.fields;
      if (fields.empty() || std::exchange(self.value_open, false)) fields.emplace_back();
      auto& name = fields.back().name;
      name = name.empty() ? std::string_view(at, size)
                          : std::string_view(name.data(), name.size() + size);
      return 0;
    };
    s.on_header_value = [](llhttp_t* parser, const char* at, std::size_t size) {
      auto& self = *static_cast<State*>(parser->data);
      if (self.head.fields.empty()) return -1;
      auto& value = self.head.fields.back().value;
      value = value.empty() ? std::string_view(at, size)
                            : std::string_view(value.data(), value.size() + size);
      self.value_open = true;
      return 0;
    };
    s.on_headers_complete = [](llhttp_t*) -> int { return HPE_PAUSED; };
    return s;
  }();

  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  parser.data = this;
  value_open = false;
  std::string_view text(head.text.data(), head.text.size());
  auto verdict = HPE_OK;
  if (head.method == ipc::Method::kOther) {
    // llhttp knows a fixed list of methods, and gives some of them (SOURCE, PRI, RTSP's) a protocol
    // of their own. To us an unlisted method is a token like any other.
    verdict = llhttp_execute(&parser, "POST", 4);
    text.remove_prefix(head.method_text.size());
  }
  if (verdict == HPE_OK) verdict = llhttp_execute(&parser, text.data(), text.size());
  if (verdict != HPE_PAUSED) {
    // llhttp's reasons are string literals of its own.
    const char* reason = llhttp_get_error_reason(&parser);
    return refuse(400, reason != nullptr ? reason : "malformed request head");
  }
  if (head.fields.size() != scanner.field_count()) return refuse(400, "ambiguous field lines");
  return {};
}

RequestParser::State::Step RequestParser::State::read_fields() {
  for (auto& field : head.fields) {
    field.name_id = ipc::header_name_id_any_case(field.name);
    if (field.name_id != 0) {
      field.name = ipc::header_name(field.name_id);
    } else {
      // The name lies in head.text, which is ours to change.
      char* const name = head.text.data() + (field.name.data() - head.text.data());
      if (!lower_field_name(name, field.name.size())) return refuse(400, "field name is no token");
    }
    field.value = trim_ows(field.value);
    if (auto step = read_field(field); !step) return step;
  }
  return {};
}

RequestParser::State::Step RequestParser::State::read_field(ipc::Field& field) {
  switch (field.name_id) {
    case field::kHost:
      ++seen.hosts;
      seen.host = field.value;
      return {};
    case field::kContentLength: {
      if (++seen.lengths > 1) return refuse(400, "Content-Length given twice");
      const auto length = parse_content_length(field.value);
      if (!length) return refuse(400, "invalid Content-Length");
      head.content_length = *length;
      return {};
    }
    case field::kTransferEncoding:
      return read_transfer_encoding(field.value);
    case field::kConnection:
      return read_connection(field.value);
    case field::kUpgrade:
      seen.upgrade_field = !field.value.empty();
      return {};
    case field::kExpect:
      if (!equals_ignoring_case(field.value, "100-continue")) {
        return refuse(417, "Expect other than 100-continue");
      }
      seen.expect = true;
      return {};
    default:
      return {};
  }
}

RequestParser::State::Step RequestParser::State::read_connection(std::string_view value) {
  while (const auto option = next_list_element(value)) {
    if (!is_token(*option)) return refuse(400, "malformed Connection");
    seen.close |= equals_ignoring_case(*option, "close");
    seen.keep_alive |= equals_ignoring_case(*option, "keep-alive");
    seen.upgrade_token |= equals_ignoring_case(*option, "upgrade");
  }
  return {};
}

// RFC 9112 sections 6.1 and 6.3, narrower: `chunked`, once, and nothing else. Codings behind it are
// malformed, others are not supported.
RequestParser::State::Step RequestParser::State::read_transfer_encoding(std::string_view value) {
  if (++seen.codings > 1) return refuse(400, "Transfer-Encoding given twice");
  if (equals_ignoring_case(value, "chunked")) return {};
  bool chunked = false;
  bool unknown = false;
  while (const auto coding = next_list_element(value)) {
    if (!is_token(*coding)) return refuse(400, "malformed Transfer-Encoding");
    if (chunked) return refuse(400, "transfer coding behind chunked");
    chunked = equals_ignoring_case(*coding, "chunked");
    unknown |= !chunked;
  }
  if (unknown) return refuse(501, "transfer coding not supported");
  return refuse(400, "malformed Transfer-Encoding");
}

RequestParser::State::Step RequestParser::State::check_whole() {
  const bool is_11 = head.version == ipc::HttpVersion::k11;
  if (seen.codings > 0) {
    if (seen.lengths > 0) return refuse(400, "Transfer-Encoding and Content-Length");
    if (!is_11) return refuse(400, "Transfer-Encoding in HTTP/1.0");
    head.chunked = true;
    head.content_length = -1;
  }
  head.keep_alive = !seen.close && (is_11 || seen.keep_alive);
  head.upgrade = is_11 && seen.upgrade_token && seen.upgrade_field;
  // RFC 9110 section 10.1.1: ignored in HTTP/1.0, and without content there is nothing to wait for.
  head.expect_continue = is_11 && seen.expect && head.has_body();
  return check_host();
}

// RFC 9112 sections 3.2 and 3.2.2.
RequestParser::State::Step RequestParser::State::check_host() {
  if (seen.hosts > 1) return refuse(400, "Host given twice");
  if (seen.hosts == 0 && head.version == ipc::HttpVersion::k11) return refuse(400, "no Host");
  head.authority = seen.host;
  if (!seen.host.empty() && !is_valid_authority(seen.host)) return refuse(400, "invalid Host");
  if (head.form == TargetForm::kAbsolute) {
    head.authority = seen.target_authority;
    if (seen.hosts == 0) return {};
    const auto port = [&](std::string_view authority) {
      const auto given = authority_port(authority);
      return given.empty() ? seen.default_port : given;
    };
    if (!equals_ignoring_case(authority_host(seen.host), authority_host(seen.target_authority)) ||
        port(seen.host) != port(seen.target_authority)) {
      return refuse(400, "Host differs from the request target");
    }
    return {};
  }
  // An empty Host says that the target has no authority, and only `OPTIONS *` has none.
  if (seen.hosts == 1 && seen.host.empty() && head.version == ipc::HttpVersion::k11 &&
      head.form != TargetForm::kAsterisk) {
    return refuse(400, "empty Host");
  }
  return {};
}

}  // namespace saola::proxy::http1
