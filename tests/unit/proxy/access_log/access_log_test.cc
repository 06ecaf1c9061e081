#include "proxy/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>

namespace saola::proxy {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;
using ::testing::HasSubstr;
using Fields = std::vector<ipc::Field>;

ipc::Field field(std::string_view name, std::string_view value) {
  return {ipc::header_name_id(name), name, value};
}

// 2026-11-21 09:00:00.123 UTC
constexpr std::time_t kSecond = 1795251600;

const Fields& request_fields() {
  static const Fields fields = {
      field("host", "a.example"),
      field("user-agent", "curl/8 \"quoted\""),
      field("referer", "https://b.example/?x=\x1b"),
      field("authorization", "Basic YWxpY2U6c2VjcmV0"),  // alice:secret
      field("x-tag", "first"),
      field("x-tag", "second"),
      field("content-type", "text/plain"),
  };
  return fields;
}

AccessRecord make_record() {
  static const Fields response_fields = {field("content-length", "12"), field("x-app", "yes")};
  AccessRecord record;
  record.finished = system_clock::from_time_t(kSecond) + std::chrono::milliseconds(123);
  record.client_host = "10.1.2.3";
  record.client_port = 4321;
  record.method = "GET";
  record.target = "/a%20b?x=1";
  record.raw_path = "/a%20b";
  record.query = "x=1";
  record.scheme = ipc::Scheme::kHttps;
  record.authority = "a.example";
  record.status = 200;
  record.request_bytes = 7;
  record.response_bytes = 1234;
  record.total = microseconds(2'000'250);
  record.queue_wait = microseconds(300);
  record.app_time = microseconds(1'500'000);
  record.request_id = "req-1";
  record.app = "app";
  record.worker_pid = 99;
  record.worker_id = 3;
  record.generation = 2;
  record.retries = 1;
  record.tls_version = "TLSv1.3";
  record.upstream = "complete";
  record.outcome = "ok";
  record.request_fields = &request_fields();
  record.response_fields = &response_fields;
  return record;
}

std::string line(std::string_view format, const AccessRecord& record) {
  const auto parsed = AccessLogFormat::parse(format);
  if (!parsed) return "error: " + parsed.error().message;
  std::string out;
  parsed->append(out, record);
  if (!out.ends_with('\n')) return "no line: " + out;
  out.pop_back();
  return out;
}

class AccessLog : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

TEST_F(AccessLog, EachAtomSaysWhatGunicornsSays) {
  const std::pair<const char*, const char*> table[] = {
      {"%(h)s", "10.1.2.3"},
      {"%(l)s", "-"},
      {"%(u)s", "alice"},
      {"%(t)s", "[21/Nov/2026:09:00:00 +0000]"},
      {"%(r)s", "GET /a%20b?x=1 HTTP/1.1"},
      {"%(s)s", "200"},
      {"%(m)s", "GET"},
      {"%(U)s", "/a b"},
      {"%(q)s", "x=1"},
      {"%(H)s", "HTTP/1.1"},
      {"%(b)s", "1234"},
      {"%(B)s", "1234"},
      {"%(f)s", "https://b.example/?x=\\x1b"},
      {"%(a)s", "curl/8 \\x22quoted\\x22"},
      {"%(T)s", "2"},
      {"%(D)s", "2000250"},
      {"%(M)s", "2000"},
      {"%(L)s", "2.000250"},
      {"%(p)s", "<99>"},
      {"%({user-agent}i)s", "curl/8 \\x22quoted\\x22"},
      {"%({Content-Type}i)s", "text/plain"},
      {"%({x-tag}i)s", "second"},
      {"%({x-none}i)s", "-"},
      {"%({Content-Length}o)s", "12"},
      {"%({x-app}o)s", "yes"},
      {"%({x-none}o)s", "-"},
      {"%({REQUEST_METHOD}e)s", "GET"},
      {"%({RAW_URI}e)s", "/a%20b?x=1"},
      {"%({PATH_INFO}e)s", "/a b"},
      {"%({query_string}e)s", "x=1"},
      {"%({SERVER_PROTOCOL}e)s", "HTTP/1.1"},
      {"%({REMOTE_ADDR}e)s", "10.1.2.3"},
      {"%({REMOTE_PORT}e)s", "4321"},
      {"%({wsgi.url_scheme}e)s", "https"},
      {"%({CONTENT_TYPE}e)s", "text/plain"},
      {"%({my.variable}e)s", "-"},
      {"%(D)d", "2000250"},
      {"100%%", "100%"},
      {"", ""},
  };
  for (const auto& [format, expected] : table) {
    EXPECT_EQ(line(format, make_record()), expected) << format;
  }
}

TEST_F(AccessLog, AVariableOfARepeatedHeaderIsJoinedAsInWsgi) {
  EXPECT_EQ(line("%({HTTP_X_TAG}e)s", make_record()), "first,second");
  EXPECT_EQ(line("%({HTTP_USER_AGENT}e)s", make_record()), "curl/8 \\x22quoted\\x22");
  EXPECT_EQ(line("%({HTTP_X_NONE}e)s", make_record()), "-");
}

TEST_F(AccessLog, SecretsAreHiddenInEveryAtomThatCouldShowThem) {
  const Redaction all{true, true, true};
  const std::pair<const char*, const char*> table[] = {
      {"%(r)s", "GET /a%20b?[redacted] HTTP/1.1"},
      {"%(q)s", "[redacted]"},
      {"%(U)s", "/a b"},
      {"%(f)s", "https://b.example/?[redacted]"},
      {"%({Referer}i)s", "https://b.example/?[redacted]"},
      {"%({authorization}i)s", "[redacted]"},
      {"%({HTTP_AUTHORIZATION}e)s", "[redacted]"},
      {"%({cookie}i)s", "-"},
      {"%({set-cookie}o)s", "-"},
      {"%({QUERY_STRING}e)s", "[redacted]"},
      {"%({RAW_URI}e)s", "/a%20b?[redacted]"},
      {"%(target)s", "/a%20b?[redacted]"},
      {"%(u)s", "alice"},
      {"%({x-tag}i)s", "second"},
  };
  for (const auto& [format, expected] : table) {
    const auto parsed = AccessLogFormat::parse(format, all);
    ASSERT_TRUE(parsed) << format;
    std::string out;
    parsed->append(out, make_record());
    EXPECT_EQ(out, std::string(expected) + "\n") << format;
  }
}

TEST_F(AccessLog, OurAtomsSayWhatOnlyAFrontWithItsWorkersKnows) {
  const std::pair<const char*, const char*> table[] = {
      {"%(request_id)s", "req-1"},  {"%(queue)s", "0.000300"},
      {"%(upstream)s", "complete"}, {"%(app_time)s", "1.500000"},
      {"%(app)s", "app"},           {"%(worker)s", "3"},
      {"%(generation)s", "2"},      {"%(retries)s", "1"},
      {"%(outcome)s", "ok"},        {"%(tls)s", "TLSv1.3"},
      {"%(scheme)s", "https"},      {"%(host)s", "a.example"},
      {"%(port)s", "4321"},         {"%(target)s", "/a%20b?x=1"},
      {"%(request_bytes)s", "7"},   {"%(time)s", "2026-11-21T09:00:00.123Z"},
  };
  for (const auto& [format, expected] : table) {
    EXPECT_EQ(line(format, make_record()), expected) << format;
  }
}

TEST_F(AccessLog, WhatIsMissingIsADash) {
  const AccessRecord nothing;
  for (const char* format :
       {"%(h)s", "%(u)s", "%(r)s", "%(s)s", "%(m)s", "%(U)s", "%(f)s", "%(a)s", "%(p)s", "%({a}i)s",
        "%({a}o)s", "%(worker)s", "%(generation)s", "%(tls)s", "%(outcome)s", "%(app)s", "%(host)s",
        "%(target)s", "%(request_id)s"}) {
    EXPECT_EQ(line(format, nothing), "-") << format;
  }
  EXPECT_EQ(line("[%(q)s]", nothing), "[]") << "gunicorn shows an empty query as nothing";
  EXPECT_EQ(line("%(b)s", nothing), "0");
  EXPECT_EQ(line("%(L)s", nothing), "0.000000");
}

TEST_F(AccessLog, CombinedIsGunicornsDefault) {
  EXPECT_EQ(line("combined", make_record()),
            "10.1.2.3 - alice [21/Nov/2026:09:00:00 +0000] \"GET /a%20b?x=1 HTTP/1.1\" 200 1234 "
            "\"https://b.example/?x=\\x1b\" \"curl/8 \\x22quoted\\x22\"");
  EXPECT_EQ(
      line("combined", make_record()),
      line("%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"", make_record()));
}

TEST_F(AccessLog, NothingFromOutsideCanForgeALine) {
  AccessRecord record = make_record();
  record.target = "/\" 200 1\n10.0.0.1 - - \\";
  record.raw_path = "/%0a%22%c3%a9%zz%4";
  record.method = "G\tT";
  EXPECT_EQ(line("\"%(r)s\"", record), "\"G\\x09T /\\x22 200 1\\x0a10.0.0.1 - - \\x5c HTTP/1.1\"");
  EXPECT_EQ(line("%(U)s", record), "/\\x0a\\x22\\xc3\\xa9%zz%4");
}

TEST_F(AccessLog, TheUserComesFromBasicAuthentication) {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"Basic YWxpY2U6c2VjcmV0", "alice"},   {"basic YWxpY2U6c2VjcmV0", "alice"},
      {"Basic  YWxpY2U6c2VjcmV0 ", "alice"}, {"Basic YWxpY2U=", "alice"},  // no colon
      {"Basic OnNlY3JldA==", "-"},                                         // no user
      {"Basic YSJiCjpz", "a\\x22b\\x0a"},    {"Basic !!!!", "-"},
      {"Basic YWxpY2U6c2VjcmV", "-"},        {"Basic", "-"},
      {"Bearer YWxpY2U6c2VjcmV0", "-"},
  };
  for (const auto& [value, user] : table) {
    const Fields fields = {field("authorization", value)};
    AccessRecord record = make_record();
    record.request_fields = &fields;
    EXPECT_EQ(line("%(u)s", record), user) << value;
  }
}

TEST_F(AccessLog, ProtocolsAndZonesAreWrittenAsUsual) {
  AccessRecord record = make_record();
  record.version = ipc::HttpVersion::k10;
  EXPECT_EQ(line("%(H)s", record), "HTTP/1.0");
  record.version = ipc::HttpVersion::k2;
  EXPECT_EQ(line("%(H)s", record), "HTTP/2.0");
  ::setenv("TZ", "XXX+03:30", 1);
  ::tzset();
  EXPECT_EQ(line("%(t)s", record), "[21/Nov/2026:05:30:00 -0330]");
  EXPECT_EQ(line("%(time)s", record), "2026-11-21T09:00:00.123Z");
  ::setenv("TZ", "UTC", 1);
  ::tzset();
}

TEST_F(AccessLog, TheSecondIsRenderedAnewWhenItChanges) {
  const auto format = AccessLogFormat::parse("%(t)s %(time)s");
  ASSERT_TRUE(format);
  AccessRecord record = make_record();
  std::string out;
  format->append(out, record);
  record.finished += std::chrono::seconds(61);
  format->append(out, record);
  EXPECT_EQ(out,
            "[21/Nov/2026:09:00:00 +0000] 2026-11-21T09:00:00.123Z\n"
            "[21/Nov/2026:09:01:01 +0000] 2026-11-21T09:01:01.123Z\n");
}

TEST_F(AccessLog, MistakesInAFormatAreNamed) {
  const std::pair<const char*, const char*> table[] = {
      {"%(h)s %(nope)s", "unknown atom '%(nope)s'"},
      {"%({}i)s", "unknown atom '%({}i)s'"},
      {"%({a}x)s", "unknown atom '%({a}x)s'"},
      {"%({a)s", "unknown atom '%({a)s'"},
      {"%(h)", "an atom ends with ')s'"},
      {"%(h)-8s", "widths and flags are not supported"},
      {"50% of", "'% of'"},
      {"%", "'%' must begin an atom"},
      {"%(h", "'%' must begin an atom"},
      {"a\nb", "a line break"},
  };
  for (const auto& [format, message] : table) {
    const auto parsed = AccessLogFormat::parse(format);
    ASSERT_FALSE(parsed) << format;
    EXPECT_THAT(parsed.error().message, HasSubstr("access_format: ")) << format;
    EXPECT_THAT(parsed.error().message, HasSubstr(message)) << format;
  }
}

// The first cells of the tables in docs/logging.md: | `%(h)s` | ...
TEST_F(AccessLog, TheDocumentationListsExactlyTheAtomsThatExist) {
  std::ifstream file(std::string(SAOLA_SOURCE_DIR) + "/docs/logging.md");
  ASSERT_TRUE(file);
  std::set<std::string> documented;
  for (std::string row; std::getline(file, row);) {
    constexpr std::string_view kBegin = "| `%(";
    const std::size_t end = row.find(")s`");
    if (!row.starts_with(kBegin) || end == std::string::npos) continue;
    documented.insert(row.substr(kBegin.size(), end - kBegin.size()));
  }
  std::set<std::string> known;
  for (const std::string_view atom : AccessLogFormat::atoms()) known.emplace(atom);
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace saola::proxy
