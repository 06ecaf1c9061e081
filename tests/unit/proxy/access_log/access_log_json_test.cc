#include "proxy/access_log_json.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

namespace saola::proxy {
namespace {

using nlohmann::json;

std::string json_line(const AccessRecord& record) {
  const auto format = AccessLogFormat::parse("json");
  std::string out;
  format->append(out, record);
  return out;
}

TEST(AccessLogJson, ALineIsOneObjectThatAnyParserReads) {
  const std::vector<ipc::Field> fields = {
      {ipc::field::kUserAgent, "user-agent", "curl \"8\""},
      {ipc::field::kReferer, "referer", "https://b.example/\xc3\xa9"},
  };
  AccessRecord record;
  record.finished = std::chrono::system_clock::from_time_t(1795251600);
  record.client_host = "10.1.2.3";
  record.client_port = 4321;
  record.method = "GET";
  record.target = "/\\\n\x7f\xff";
  record.authority = "a.example";
  record.scheme = ipc::Scheme::kHttps;
  record.status = 503;
  record.response_bytes = 12;
  record.total = std::chrono::microseconds(1'000'250);
  record.worker_pid = 99;
  record.worker_id = 3;
  record.generation = 2;
  record.tls_version = "TLSv1.3";
  record.outcome = "queue_timeout";
  record.request_fields = &fields;
  const std::string line = json_line(record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json object = json::parse(line);
  EXPECT_EQ(object["time"], "2026-11-21T09:00:00.000Z");
  EXPECT_EQ(object["client"], "10.1.2.3");
  EXPECT_EQ(object["client_port"], 4321);
  EXPECT_EQ(object["method"], "GET");
  EXPECT_EQ(object["scheme"], "https");
  EXPECT_EQ(object["target"], "/\\\n\x7f\xef\xbf\xbd");
  EXPECT_EQ(object["status"], 503);
  EXPECT_EQ(object["response_bytes"], 12);
  EXPECT_DOUBLE_EQ(object["duration"].get<double>(), 1.00025);
  EXPECT_EQ(object["worker"], 3);
  EXPECT_EQ(object["user_agent"], "curl \"8\"");
  EXPECT_EQ(object["referer"], "https://b.example/\xc3\xa9");
  EXPECT_EQ(object["outcome"], "queue_timeout");
}

TEST(AccessLogJson, EveryLineHasTheSameKeysAndTheDocumentationLists) {
  const json object = json::parse(json_line(AccessRecord{}));
  EXPECT_TRUE(object["status"].is_null());
  EXPECT_TRUE(object["client"].is_null());
  EXPECT_TRUE(object["worker"].is_null());
  EXPECT_TRUE(object["tls"].is_null());

  std::ifstream file(std::string(SAOLA_SOURCE_DIR) + "/docs/logging.md");
  std::set<std::string> documented;
  bool inside = false;
  for (std::string row; std::getline(file, row);) {
    if (row.starts_with("## ")) inside = row == "## json";
    const std::size_t end = row.find("` |");
    if (inside && row.starts_with("| `") && end != std::string::npos) {
      documented.insert(row.substr(3, end - 3));
    }
  }
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  EXPECT_EQ(documented, keys);
}

TEST(AccessLogJson, DroppedLinesAreReportedInJsonToo) {
  const auto format = AccessLogFormat::parse("json");
  const json object = json::parse(format->drop_note()(17));
  EXPECT_EQ(object["dropped_lines"], 17);
}

}  // namespace
}  // namespace saola::proxy
