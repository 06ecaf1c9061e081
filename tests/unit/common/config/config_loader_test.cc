#include "common/config/config_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "common/config/config.h"
#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(LoadConfig, NeedsOnlyATarget) {
  const Config config = loaded(kApp);
  ASSERT_EQ(config.apps.size(), 1U);
  EXPECT_EQ(config.apps.at("app").target, "app:application");
  EXPECT_EQ(config.apps.at("app").workers, 0);
  ASSERT_EQ(config.listen.size(), 1U);
  EXPECT_EQ(config.listen[0].address, "127.0.0.1:8000");
  EXPECT_EQ(config.path, "saola.toml");
  EXPECT_EQ(config.directory, std::filesystem::current_path().string());
  EXPECT_EQ(config.limits, Limits());
  EXPECT_EQ(config.log, Log());
  EXPECT_EQ(config.server, Server());
}

TEST(LoadConfig, WithoutAnApplicationSaysWhatToSet) {
  EXPECT_THAT(problems(""),
              ElementsAre("saola.toml: no application: set 'target' in [app], such as "
                          "\"app:application\""));
  EXPECT_THAT(
      problems("\n[app]\nworkers = 2\n"),
      ElementsAre("saola.toml:2:1: 'target' is missing in [app]: name the application, such "
                  "as \"app:application\""));
}

TEST(LoadConfig, ReadsEveryKindOfValue) {
  const Config config = loaded(R"(
[server]
user = "www-data"
graceful_timeout = "1m30s"
umask = "027"
[[listen]]
address = "0.0.0.0:8443"
protocols = ["http/1.1"]
forwarded = "x-forwarded"
trusted = ["10.0.0.0/8", "unix"]
mode = 0o600
tls = { certificate = "cert.pem", key = "key.pem", min_version = "1.3", session_tickets = false }
[[listen.certificates]]
certificate = "rsa.pem"
key = "rsa.key"
key_password_file = "rsa.txt"
[[listen]]
address = "unix:web.sock"
[app]
target = "app:application"
interface = "asgi"
workers = 4
env = { DEBUG = "1", "odd name" = "x" }
max_requests = 1000
[[route]]
path = "/old"
redirect = "https://{host}/new"
redirect_status = 301
[[route]]
host = "*.example.com"
max_body = "10MB"
[limits]
body = "off"
header_bytes = 32768
[log]
level = "debug"
[admin]
listen = "127.0.0.1:9180"
)");
  EXPECT_EQ(config.server.user, "www-data");
  EXPECT_EQ(config.server.graceful_timeout, seconds(90));
  EXPECT_EQ(config.server.umask, 027);
  ASSERT_EQ(config.listen.size(), 2U);
  const Listen& tls = config.listen[0];
  EXPECT_EQ(tls.forwarded, Forwarded::kXForwarded);
  EXPECT_THAT(tls.trusted, ElementsAre("10.0.0.0/8", "unix"));
  EXPECT_EQ(tls.mode, 0600);
  ASSERT_TRUE(tls.tls);
  EXPECT_EQ(tls.tls->min_version, TlsVersion::kTls13);
  EXPECT_FALSE(tls.tls->session_tickets);
  EXPECT_THAT(tls.tls->certificates, ElementsAre(Certificate{"cert.pem", "key.pem", ""},
                                                 Certificate{"rsa.pem", "rsa.key", "rsa.txt"}));
  EXPECT_FALSE(config.listen[1].tls);
  const App& app = config.apps.at("app");
  EXPECT_EQ(app.interface, Interface::kAsgi);
  EXPECT_EQ(app.workers, 4);
  EXPECT_EQ(app.max_requests, 1000U);
  EXPECT_EQ(app.env, (std::map<std::string, std::string>{{"DEBUG", "1"}, {"odd name", "x"}}));
  ASSERT_EQ(config.routes.size(), 2U);
  EXPECT_EQ(config.routes[0].redirect_status, 301);
  EXPECT_EQ(config.routes[0].max_body, std::nullopt);
  EXPECT_EQ(config.routes[1].max_body, 10'000'000U);
  EXPECT_EQ(config.limits.body, 0U);
  EXPECT_EQ(config.limits.header_bytes, 32'768U);
  EXPECT_EQ(config.log.level, LogLevel::kDebug);
  EXPECT_EQ(config.admin.listen, "127.0.0.1:9180");
}

TEST(LoadConfig, TakesCertificatesFromTheirOwnTablesAlone) {
  const Config config = loaded(kApp + R"(
[[listen]]
[[listen.certificates]]
certificate = "a.pem"
key = "a.key"
[[listen.certificates]]
certificate = "b.pem"
key = "b.key"
)");
  ASSERT_TRUE(config.listen[0].tls);
  EXPECT_THAT(config.listen[0].tls->certificates,
              ElementsAre(Certificate{"a.pem", "a.key", ""}, Certificate{"b.pem", "b.key", ""}));
}

TEST(LoadConfig, ReadsSeveralApplications) {
  const Config config = loaded(R"(
[apps.web]
target = "web:app"
[apps.api-2]
target = "api:app"
[[route]]
path = "/api/"
app = "api-2"
[[route]]
app = "web"
)");
  ASSERT_EQ(config.apps.size(), 2U);
  EXPECT_EQ(config.apps.at("api-2").target, "api:app");
}

TEST(LoadConfig, PointsAtWhatIsWrong) {
  struct Row {
    std::string text;  // after [app] with its target: line 3 is its first line
    std::string problem;
  };
  const std::vector<Row> table{
      {"worker = 4", "3:1: unknown key 'worker' in [app]; did you mean 'workers'?"},
      {"  header_timeout = 4",
       "3:3: unknown key 'header_timeout' in [app]; it belongs in [limits]"},
      {"colour = 4", "3:1: unknown key 'colour' in [app]"},
      {"\"a\\u001b\" = 4", "3:1: unknown key 'a\\x1b' in [app]"},
      {"workers = \"many\"",
       "3:11: 'workers' in [app] must be \"auto\", a number from 1 to 1024 or "
       "{ min = A, max = B } with two such numbers, not 'many'"},
      {"workers = 0",
       "3:11: 'workers' in [app] must be \"auto\", a number from 1 to 1024 or "
       "{ min = A, max = B } with two such numbers, not 0"},
      {"workers = { min = 8, max = 2 }",
       "3:11: 'workers' in [app] must be \"auto\", a number from 1 to 1024 or "
       "{ min = A, max = B } with two such numbers, not { min = 8, max = 2 }"},
      {"workers = { min = 2 }",
       "3:11: 'workers' in [app] must be \"auto\", a number from 1 to 1024 or "
       "{ min = A, max = B } with two such numbers, not a table"},
      {"threads = 1.5",
       "3:11: 'threads' in [app] must be a number from 1 to 1024, not a number with a fraction"},
      {"threads = 2026-01-31",
       "3:11: 'threads' in [app] must be a number from 1 to 1024, not a date or time"},
      {"threads = true", "3:11: 'threads' in [app] must be a number from 1 to 1024, not true"},
      {"threads = {}", "3:11: 'threads' in [app] must be a number from 1 to 1024, not a table"},
      {"factory = 1", "3:11: 'factory' in [app] must be true or false, not 1"},
      {"venv = 3", "3:8: 'venv' in [app] must be a path, not 3"},
      {"venv = \"a\\u0000b\"",
       "3:8: 'venv' in [app] must be a path: 'a\\x00b' is not UTF-8 text without NUL"},
      {"pythonpath = \"lib\"",
       "3:14: 'pythonpath' in [app] must be a list of directories, not 'lib'"},
      {"pythonpath = [\"lib\", 3]",
       "3:14: 'pythonpath' in [app] must be a list of directories, not a list of other things than "
       "strings"},
      {"loop = \"uvlop\"",
       "3:8: 'loop' in [app] must be \"auto\", \"asyncio\" or \"uvloop\", not 'uvlop'"},
      {"env = 3", "3:7: 'env' in [app] must be a table of strings, not 3"},
      {"env = { A = 3 }", "3:13: 'A' in [app.env] must be a string in quotes"},
      {"env = { \"A=B\" = \"3\" }", "3:7: 'env' in [app] cannot have the variable name 'A=B'"},
      {"queue_timeout = \"30\"",
       "3:17: 'queue_timeout' in [app] must be a duration from 1ms up to 24h: '30' has no unit; "
       "write it "
       "like 500ms, 30s, 2m or 1h30m"},
      {"queue_timeout = \"25h\"",
       "3:17: 'queue_timeout' in [app] must be a duration from 1ms up to 24h, not '25h'"},
      {"queue_timeout = 30",
       "3:17: 'queue_timeout' in [app] must be a duration from 1ms up to 24h, not 30"},
      {"queue_timeout = \"off\"",
       "3:17: 'queue_timeout' in [app] must be a duration from 1ms up to 24h: 'off' is not a "
       "duration; "
       "write it like 500ms, 30s, 2m or 1h30m"},
      {"[limits]\nbody = \"8k\"",
       "4:8: 'body' in [limits] must be a size up to 1TiB, or \"off\": '8k' is not a size; write "
       "it like "
       "1024, 64KiB, 8MiB or 10MB"},
      {"[limits]\nbody = -1",
       "4:8: 'body' in [limits] must be a size up to 1TiB, or \"off\", not -1"},
      {"[limits]\nrequest_line = \"2MiB\"",
       "4:16: 'request_line' in [limits] must be a size from 64 up to 64KiB, not '2MiB'"},
      {"[server]\numask = 18",
       "4:9: 'umask' in [server] must be an octal mode as a string, such as \"0660\", not 18"},
      {"[server]\numask = \"1777\"",
       "4:9: 'umask' in [server] must be an octal mode as a string, such as \"0660\", not '1777'"},
      {"[server]\nserver_header = \"a\\r\\nSet-Cookie: b\"",
       "4:17: 'server_header' in [server] must be a string: 'a\\x0d\\x0aSet-Cookie: b' has a "
       "character that "
       "no HTTP field may have"},
      {"[[listen]]\naddress = \"8000\"",
       "4:11: 'address' in [[listen]] must be an address: '8000' has no port; write "
       "127.0.0.1:8000, "
       "[::1]:8000, :8000, unix:PATH, fd:N or systemd:NAME"},
      {"[[listen]]\ntrusted = [\"10.0.0.0/33\"]\nforwarded = \"rfc7239\"",
       "4:11: 'trusted' in [[listen]] must be a list of networks: '10.0.0.0/33' is not a network; "
       "write "
       "10.0.0.0/8, 192.0.2.1, 2001:db8::/32, \"unix\" or \"*\""},
      {"[[listen]]\nprotocols = [\"h3\"]",
       "4:13: 'protocols' in [[listen]] must be a list of \"http/1.1\" or \"h2\", not 'h3'"},
      {"[[listen]]\nprotocols = [\"http/1.1\", \"http/1.1\"]",
       "4:13: 'protocols' in [[listen]] must be a list of \"http/1.1\" or \"h2\": 'http/1.1' is "
       "there twice"},
      {"[[listen]]\ntls = true", "4:7: 'tls' in [[listen]] must be a table, not true"},
      {"[listen]\naddress = \":80\"",
       "3:1: 'listen' at the top level must be a list of tables: write [[listen]]"},
      {"[[route]]\npath = \"static\"",
       "4:8: 'path' in [[route]] must be a string: 'static' does not start with /"},
      {"[[route]]\nhost = \"a:80\"",
       "4:8: 'host' in [[route]] must be a string: 'a:80' is not a host name without port, or *. "
       "and one"},
      {"[[route]]\nredirect = \"/\"\nredirect_status = 200",
       "5:19: 'redirect_status' in [[route]] must be 301, 302, 303, 307 or 308, not 200"},
      {"[limit]\nx = 1", "3:2: unknown key 'limit' at the top level; did you mean 'limits'?"},
      {"[[server]]",
       "3:1: 'server' at the top level must be a table, not a list of other things than strings"},
      {"[apps.web]\ntarget = \"a:b\"", "3:1: use either [app] or [apps.NAME], not both"},
  };
  for (const Row& row : table) {
    EXPECT_THAT(problems(kApp + row.text + "\n"), ElementsAre("saola.toml:" + row.problem))
        << row.text;
  }
}

TEST(LoadConfig, PointsAtWhatIsNotToml) {
  EXPECT_THAT(problems("[app]\ntarget = \"open\n"),
              ElementsAre(StartsWith("saola.toml:2:15: not TOML: ")));
  EXPECT_THAT(problems("[app]\nworkers = 1\nworkers = 2\n"),
              ElementsAre(StartsWith("saola.toml:3:")));
  EXPECT_THAT(problems("[app]\ntarget = \n"),
              ElementsAre(StartsWith("saola.toml:2:10: not TOML: ")));
}

TEST(LoadConfig, TellsAllProblemsAtOnceInTheOrderOfTheFile) {
  EXPECT_THAT(
      problems(R"([server]
workers = 2
[[listen]]
address = "nowhere"
tls = { certificate = "a.pem", min_version = "1.1" }
[[listen]]
address = ":8000"
forwarded = "proxy-protocol"
[app]
target = 3
thread = 2
[limits]
body = "lots"
)",
               {{"SAOLA_LOG_LEVEL", "loud"}}),
      ElementsAre(StartsWith("saola.toml:2:1: unknown key 'workers' in [server]"),
                  StartsWith("saola.toml:4:11: 'address' in [[listen]]"),
                  StartsWith("saola.toml:5:23: 'certificate' in [listen.tls] needs a 'key'"),
                  StartsWith("saola.toml:5:46: 'min_version' in [listen.tls]"),
                  StartsWith("saola.toml:8:13: 'forwarded' in [[listen]] needs 'trusted'"),
                  StartsWith("saola.toml:10:10: 'target' in [app] must be a string, not 3"),
                  StartsWith("saola.toml:11:1: unknown key 'thread' in [app]; did you mean"),
                  StartsWith("saola.toml:13:8: 'body' in [limits]"),
                  StartsWith("SAOLA_LOG_LEVEL: 'level' in [log] must be")));
}

TEST(LoadConfig, ShowsThePathItWasGivenWithoutControlBytes) {
  auto result = load_config({"conf/\x1b.toml", "x = 1\n", {}});
  ASSERT_FALSE(result);
  EXPECT_THAT(to_string(result.error().front()), StartsWith("conf/\\x1b.toml"));
}

TEST(LoadConfig, DoesNotRepeatSecretsInMessages) {
  for (const std::string text :
       {"env = { PASSWORD = \"geheim\\u0000\" }", "env = { PASSWORD = [\"geheim\"] }"}) {
    const auto found = problems(kApp + text + "\n");
    ASSERT_EQ(found.size(), 1U);
    EXPECT_THAT(found[0], testing::Not(HasSubstr("geheim")));
  }
}

TEST(ReadConfigFile, BringsTextPathAndEnvironment) {
  const std::string path = testing::TempDir() + "saola_read_config_file.toml";
  std::ofstream(path) << kApp;
  auto input = read_config_file(path);
  ASSERT_TRUE(input) << input.error().message;
  EXPECT_EQ(input->text, kApp);
  EXPECT_EQ(input->path, path);
  EXPECT_THAT(input->environment, testing::Contains(testing::Pair("PATH", testing::_)));
  std::filesystem::remove(path);
}

TEST(ReadConfigFile, SaysWhyItCannot) {
  auto missing = read_config_file("/nonexistent/saola.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "open /nonexistent/saola.toml: No such file or directory");
  EXPECT_EQ(missing.error().code, ENOENT);
  auto directory = read_config_file("/");
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("Is a directory"));
}

}  // namespace
}  // namespace saola::config
