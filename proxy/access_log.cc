#include "proxy/access_log.h"

#include <algorithm>

#include "proxy/access_log_atoms.h"
#include "proxy/access_log_json.h"

namespace saola::proxy {
namespace {

// gunicorn's default, which is what nginx and Apache call combined.
constexpr std::string_view kCombined =
    "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";

std::string json_drop_note(std::uint64_t lines) {
  return fmt::format("{{\"time\":\"{}\",\"dropped_lines\":{}}}\n", log_timestamp(), lines);
}

Unexpected<Error> wrong(std::string_view at, const char* why) {
  return fail(fmt::format("access_format: at '{}': {}", at.substr(0, 24), why));
}

// "%(name)s" at the start of `format`: takes it away and returns its operation.
Result<LogOp> take_atom(std::string_view& format) {
  const std::size_t close = format.find(')');
  if (!format.starts_with("%(") || close == std::string_view::npos) {
    return wrong(format, "'%' must begin an atom such as %(h)s, or be doubled");
  }
  const std::string_view name = format.substr(2, close - 2);
  if (close + 1 >= format.size() || (format[close + 1] != 's' && format[close + 1] != 'd')) {
    return wrong(format, "an atom ends with ')s'; widths and flags are not supported");
  }
  std::optional<LogOp> op = find_atom(name);
  if (!op) return fail(fmt::format("access_format: unknown atom '%({})s'", name));
  format.remove_prefix(close + 2);
  return std::move(*op);
}

Result<std::vector<LogOp>> compile(std::string_view format) {
  std::vector<LogOp> ops;
  std::string literal;
  const auto end_literal = [&ops, &literal] {
    if (!literal.empty()) ops.push_back({Atom::kLiteral, std::exchange(literal, {})});
  };
  while (!format.empty()) {
    const std::size_t percent = format.find('%');
    literal += format.substr(0, percent);
    if (percent == std::string_view::npos) break;
    format.remove_prefix(percent);
    if (format.starts_with("%%")) {
      literal.push_back('%');
      format.remove_prefix(2);
      continue;
    }
    auto op = take_atom(format);
    if (!op) return fail(op.error().message);
    if (op->atom == Atom::kLiteral) {
      literal += op->text;
      continue;
    }
    end_literal();
    ops.push_back(std::move(*op));
  }
  literal.push_back('\n');
  end_literal();
  return ops;
}

}  // namespace

struct AccessLogFormat::State {
  bool json = false;
  Redaction redaction;
  std::vector<LogOp> ops;
  LogClock clock;
  std::string scratch;
};

Result<AccessLogFormat> AccessLogFormat::parse(std::string_view format,
                                               const Redaction& redaction) {
  auto state = std::make_unique<State>();
  state->redaction = redaction;
  if (format == "json") {
    state->json = true;
    return AccessLogFormat(std::move(state));
  }
  if (format.find('\n') != std::string_view::npos) {
    return fail("access_format: a line break in the format");
  }
  auto ops = compile(format == "combined" ? kCombined : format);
  if (!ops) return fail(ops.error().message);
  state->ops = std::move(*ops);
  for (LogOp& op : state->ops) op.hidden = is_hidden(op, redaction);
  return AccessLogFormat(std::move(state));
}

void AccessLogFormat::append(std::string& out, const AccessRecord& record) const {
  if (state_->json) {
    append_json_record(out, record, state_->redaction, state_->clock);
    out.push_back('\n');
    return;
  }
  for (const LogOp& op : state_->ops) {
    append_atom(out, op, record, state_->clock, state_->scratch);
  }
}

bool AccessLogFormat::uses_response_fields() const {
  return std::any_of(state_->ops.begin(), state_->ops.end(),
                     [](const LogOp& op) { return op.atom == Atom::kResponseHeader; });
}

DropNote AccessLogFormat::drop_note() const {
  return state_->json ? json_drop_note : plain_drop_note;
}

std::vector<std::string_view> AccessLogFormat::atoms() { return atom_names(); }

AccessLogFormat::AccessLogFormat(std::unique_ptr<State> state) : state_(std::move(state)) {}
AccessLogFormat::AccessLogFormat(AccessLogFormat&&) noexcept = default;
AccessLogFormat& AccessLogFormat::operator=(AccessLogFormat&&) noexcept = default;
AccessLogFormat::~AccessLogFormat() = default;

}  // namespace saola::proxy
