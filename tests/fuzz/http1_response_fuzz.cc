// The response writer: whatever a worker says, the head that leaves has only lines that were meant,
// one framing, and a body where the framing says so.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/check.h"
#include "proxy/http1/response_writer.h"
#include "proxy/http1/syntax.h"

namespace saola::proxy::http1 {
namespace {

struct OwnedField {
  std::uint8_t id;
  std::string name;
  std::string value;
};

OwnedField draw_field(FuzzedDataProvider& data) {
  OwnedField field{0, "", data.ConsumeRandomLengthString(24)};
  const auto known = data.ConsumeIntegralInRange<std::size_t>(0, 2 * ipc::header_names().size());
  if (known > 0 && known < ipc::header_names().size()) {
    field.id = static_cast<std::uint8_t>(known);
    field.name = ipc::header_name(field.id);
  } else {
    field.name = data.ConsumeRandomLengthString(20);
    if (data.ConsumeBool()) field.id = ipc::header_name_id(field.name);
  }
  return field;
}

std::vector<std::string> split_lines(std::string_view head) {
  std::vector<std::string> lines;
  while (!head.empty()) {
    const auto end = head.find("\r\n");
    SAOLA_CHECK(end != std::string_view::npos);
    lines.emplace_back(head.substr(0, end));
    for (const char c : lines.back()) SAOLA_CHECK(c != '\r' && c != '\n' && c != '\0');
    head.remove_prefix(end + 2);
  }
  SAOLA_CHECK(lines.size() >= 2 && lines.back().empty());
  lines.pop_back();
  return lines;
}

// The status line first, then fields that the app named or that are the server's own.
struct Facts {
  int lengths = 0, codings = 0, connections = 0, dates = 0;
  std::string length;
};

Facts check_lines(const std::vector<std::string>& lines, const std::vector<OwnedField>& fields,
                  const std::set<std::string>& own) {
  SAOLA_CHECK(lines.front().starts_with("HTTP/1.1 ") && lines.front().size() >= 13);
  Facts facts;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto colon = lines[i].find(": ");
    SAOLA_CHECK(colon != std::string::npos);
    std::string name = lines[i].substr(0, colon);
    const std::string value = lines[i].substr(colon + 2);
    const bool meant = own.contains(lines[i]) || name == "content-length" ||
                       std::any_of(fields.begin(), fields.end(), [&](const OwnedField& field) {
                         return field.name == name && field.value == value;
                       });
    SAOLA_CHECK(meant && lower_field_name(name.data(), name.size()));
    facts.lengths += name == "content-length";
    facts.codings += name == "transfer-encoding";
    facts.connections += name == "connection";
    facts.dates += name == "date";
    if (name == "content-length") facts.length = value;
    SAOLA_CHECK(name != "keep-alive" && name != "upgrade" && name != "te" &&
                name != "proxy-connection");
  }
  return facts;
}

void check_framing(const Facts& facts, const WrittenHead& written, int status,
                   const ResponseOptions& options, bool close) {
  SAOLA_CHECK(facts.lengths + facts.codings <= 1 && facts.connections <= 1);
  SAOLA_CHECK((facts.codings == 1) == (written.framing == Framing::kChunked));
  const bool no_body = options.request_method == ipc::Method::kHead || status < 200 ||
                       status == 204 || status == 304;
  SAOLA_CHECK(no_body == (written.framing == Framing::kNone));
  if (status < 200 || status == 204) SAOLA_CHECK(facts.lengths == 0);
  if (written.framing == Framing::kLength) {
    SAOLA_CHECK(facts.length == std::to_string(written.content_length));
  }
  if (written.framing == Framing::kUntilClose) SAOLA_CHECK(!written.keep_alive);
  SAOLA_CHECK(written.keep_alive || close);
  if (options.request_version == ipc::HttpVersion::k10) {
    SAOLA_CHECK(facts.codings == 0 && facts.connections == 1);
  }
}

}  // namespace
}  // namespace saola::proxy::http1

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace saola;
  using namespace saola::proxy::http1;
  FuzzedDataProvider data(bytes, size);
  ResponseOptions options;
  options.request_method =
      static_cast<ipc::Method>(data.ConsumeIntegralInRange<std::size_t>(0, ipc::kMethodCount - 1));
  options.request_version = data.ConsumeBool() ? ipc::HttpVersion::k11 : ipc::HttpVersion::k10;
  options.keep_alive = data.ConsumeBool();
  options.date = "DATE";
  options.server = "saola";
  options.request_id = "ID";
  ipc::ResponseHeadView head;
  head.status = data.ConsumeIntegralInRange<std::uint16_t>(100, 999);
  const auto reason = data.ConsumeRandomLengthString(20);
  head.reason = reason;
  head.content_length = data.ConsumeIntegralInRange<std::int64_t>(-1, 1000);
  std::vector<OwnedField> fields(data.ConsumeIntegralInRange<std::size_t>(0, 8));
  for (auto& field : fields) field = draw_field(data);
  for (const auto& field : fields) head.fields.push_back({field.id, field.name, field.value});

  std::string out;
  const auto written = write_response_head(out, head, options);
  std::set<std::string> own = {"date: DATE", "server: saola", "x-request-id: ID"};
  if (written.framing == Framing::kChunked) own.insert("transfer-encoding: chunked");
  own.insert(written.keep_alive ? "connection: keep-alive" : "connection: close");
  const auto lines = split_lines(out);
  const bool close = std::find(lines.begin(), lines.end(), "connection: close") != lines.end();
  const auto facts = check_lines(lines, fields, own);
  check_framing(facts, written, head.status, options, close);
  SAOLA_CHECK(facts.dates >= 1);

  out.clear();
  write_interim_head(out, head);
  const auto interim = check_lines(split_lines(out), fields, {});
  SAOLA_CHECK(interim.lengths + interim.codings + interim.connections == 0);

  out.clear();
  write_last_chunk(out, head.fields);
  SAOLA_CHECK(out.starts_with("0\r\n"));
  const auto trailers = check_lines(split_lines("HTTP/1.1 200 \r\n" + out.substr(3)), fields, {});
  SAOLA_CHECK(trailers.lengths + trailers.codings + trailers.connections == 0);

  const auto id = data.ConsumeRandomLengthString(20);
  out.clear();
  write_error_response(out, head.status, id, "", options);
  const auto end = out.find("\r\n\r\n");
  SAOLA_CHECK(end != std::string::npos);
  const bool empty = written.framing == Framing::kNone;
  SAOLA_CHECK(empty == (end + 4 == out.size()));
  return 0;
}
