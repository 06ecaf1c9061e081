#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string kTwoApps = "[apps.web]\ntarget = \"w:a\"\n[apps.api]\ntarget = \"a:a\"\n";

struct Row {
  std::string text;
  std::string problem;
};

TEST(Checks, FindWhatDoesNotFitTogether) {
  const std::string tls = "tls = { certificate = \"c\", key = \"k\" }\n";
  const std::vector<Row> table{
      {kApp + "[[listen]]\ntls = {}\n", "4:7: TLS needs 'certificate' and 'key' in [listen.tls]"},
      {kApp + "[[listen]]\n[listen.tls]\ncertificate = \"c\"\n",
       "5:15: 'certificate' in [listen.tls] needs a 'key'"},
      {kApp + "[[listen]]\ntls = { key = \"k\" }\n",
       "4:15: 'key' in [listen.tls] needs a 'certificate'"},
      {kApp + "[[listen]]\n" + tls + "[[listen.certificates]]\nkey = \"k\"\n",
       "6:7: 'key' in [[listen.certificates]] needs a 'certificate'"},
      {kApp + "[[listen]]\n" + tls + "redirect_https = true\n",
       "5:18: 'redirect_https' in [[listen]] is for a plain listener, and this one has TLS"},
      {kApp + "[[listen]]\nforwarded = \"proxy-protocol\"\n",
       "4:13: 'forwarded' in [[listen]] needs 'trusted': the networks of the proxies that are "
       "believed"},
      {kApp + "[[listen]]\n" + tls + "protocols = [\"h2\"]\n",
       "5:13: 'protocols' in [[listen]] must have \"http/1.1\": this version speaks no other"},
      {kApp + "[[listen]]\naddress = \":80\"\n[[listen]]\naddress = \"0.0.0.0:80\"\n",
       "6:11: '0.0.0.0:80' is listened on twice"},
      {kApp + "[[listen]]\n[[listen]]\n", "4:1: '127.0.0.1:8000' is listened on twice"},
      {kApp + "[[listen]]\naddress = \"\"\n", "4:11: 'address' in [[listen]] must not be empty"},
      {kApp + "[[listen]]\naddress = \"unix:/" + std::string(107, 'x') + "\"\n",
       "4:11: 'address' in [[listen]]: the path of a Unix socket has at most 107 bytes, with the "
       "file's directory"},
      {kApp + "[[route]]\napp = \"web\"\n", "4:7: 'app' in [[route]] names no application: 'web'"},
      {kTwoApps + "[[route]]\napp = \"wep\"\n",
       "6:7: 'app' in [[route]] names no application: 'wep'; did you mean 'web'?"},
      {kApp + "[[route]]\napp = \"app\"\nredirect = \"/\"\n",
       "5:12: a [[route]] has either 'app' or 'redirect', and this one has both"},
      {kTwoApps + "[[route]]\npath = \"/a/\"\n",
       "5:1: a [[route]] needs 'app' or 'redirect', as there are several applications"},
      {kTwoApps, "1:1: several applications need [[route]] tables that tell them apart"},
      {"[apps.\"a b\"]\ntarget = \"w:a\"\n",
       "1:1: 'a b' cannot name an application: use letters, digits, - and _"},
      {"[apps.web]\nworkers = 1\n",
       "1:1: 'target' is missing in [apps.web]: name the application, such as \"app:application\""},
      {kApp + "directory = \"\"\n",
       "3:13: 'directory' in [app] must not be empty; \".\" is the default"},
      {kApp + "[limits]\nheader_bytes = 1000\nheader_field = 1001\n",
       "5:16: 'header_field' in [limits] must not be larger than 'header_bytes'"},
      {kApp + "[log]\nerror = \"\"\n",
       "4:9: 'error' in [log] must not be empty; - is standard error"},
      {kApp + "[log]\nerror = \"\"\nsyslog = \"unix:/l\"\nsyslog_logs = [\"access\"]\n",
       "4:9: 'error' in [log] must not be empty; - is standard error"},
      {kApp + "[log]\njournald = \"socket\"\n",
       "4:12: 'journald' in [log] must be the absolute path of a socket"},
      {kApp + "[log]\naccess_sample = \"10\"\n",
       "4:17: 'access_sample' in [log] must be a share from \"0%\" to \"100%\", not '10'"},
      {kApp + "[log]\naccess_sample = \"100.1%\"\n",
       "4:17: 'access_sample' in [log] must be a share from \"0%\" to \"100%\", not '100.1%'"},
      {kApp + "[log]\nsyslog = \"/dev/log\"\n",
       "4:10: 'syslog' in [log] must be a string: '/dev/log' is not unix:PATH, udp:HOST:PORT or "
       "tcp:HOST:PORT"},
      {kApp + "[log]\nsyslog_facility = \"nobody\"\n",
       "4:19: 'syslog_facility' in [log] must be a string: 'nobody' is no facility such as daemon, "
       "user or local0"},
      {kApp + "[log]\nsyslog_tag = \"two words\"\n",
       "4:14: 'syslog_tag' in [log] must be a string: 'two words' is not 1 to 48 printable "
       "characters without blanks"},
  };
  for (const Row& row : table) {
    EXPECT_THAT(problems(row.text), ElementsAre("saola.toml:" + row.problem)) << row.text;
  }
}

TEST(Checks, LetTheErrorLogGoToAServerAlone) {
  EXPECT_THAT(problems(kApp + "[log]\nerror = \"\"\nsyslog = \"unix:/l\"\n"), IsEmpty());
  EXPECT_THAT(problems(kApp + "[log]\nerror = \"\"\njournald = \"/j\"\n"), IsEmpty());
}

TEST(Checks, TakeSharesWithFourDigitsBehindThePoint) {
  const std::pair<const char*, std::uint32_t> table[] = {
      {"0%", 0}, {"100%", 1'000'000}, {"12.5%", 125'000}, {"0.0001%", 1}, {"7.0%", 70'000}};
  for (const auto& [text, share] : table) {
    const std::string log = fmt::format("[log]\naccess_sample = \"{}\"\n", text);
    EXPECT_EQ(loaded(kApp + log).log.access_sample_ppm, share) << text;
  }
}

TEST(Checks, LetSeveralListenersUseAnyFreePort) {
  EXPECT_THAT(problems(kApp + "[[listen]]\naddress = \":0\"\n[[listen]]\naddress = \":0\"\n"),
              IsEmpty());
}

TEST(Checks, RefuseWhatSecuresAndIsNotSupportedYet) {
  const std::string listen = "[[listen]]\ntls = { certificate = \"c\", key = \"k\", ";
  const std::vector<Row> table{
      {kApp + listen + "client_ca = \"ca.pem\" }\n",
       "4:51: 'client_ca' in [listen.tls] is not supported yet: client certificates would not be "
       "checked"},
      {kApp + listen + "client_verify = \"require\" }\n",
       "4:55: 'client_verify' in [listen.tls] is not supported yet: client certificates would not "
       "be checked"},
      {kApp + "[limits]\nrate = \"10/s\"\n",
       "4:8: 'rate' in [limits] is not supported yet: clients would not be limited"},
      {kApp + "[[route]]\npath = \"/static/\"\nstatic = \"static/\"\n",
       "5:10: 'static' in [[route]] is not supported yet: files would not be served"},
      {kApp + "[server]\nedge_user = \"www-data\"\n",
       "4:13: 'edge_user' in [server] is not supported yet: the edge would run as the same user as "
       "the app"},
      {kApp + "[edge]\nprocesses = 2\n",
       "4:13: 'processes' in [edge] is not supported yet: there would be one edge process"},
  };
  for (const Row& row : table) {
    EXPECT_THAT(problems(row.text), ElementsAre("saola.toml:" + row.problem)) << row.text;
  }
}

TEST(Checks, AcceptThatWhatIsNotSupportedYetIsOff) {
  EXPECT_THAT(
      problems(kApp +
               "preload = false\nmax_memory = 0\nhang_timeout = \"off\"\nrequest_timeout = 0\n"
               "[edge]\nprocesses = 1\n"),
      IsEmpty());
}

TEST(Checks, HoldForAConfigThatNoFileMade) {
  Config config;
  EXPECT_THAT(lines(validate(config)),
              ElementsAre("apps: no application: set 'target' in [app], such as "
                          "\"app:application\""));
  config.apps["app"].target = "app:application";
  config.listen.resize(2);
  config.listen[1].tls.emplace();
  config.apps["app"].threads = 0;
  config.limits.header_timeout = milliseconds(-1);
  config.server.user = "a\xff";
  EXPECT_THAT(
      lines(validate(config)),
      ElementsAre(
          "server.user: 'user' in [server] must be a string: 'a\\xff' is not UTF-8 text "
          "without NUL",
          "app.threads: 'threads' in [app] must be a number from 1 to 1024, not 0",
          "limits.header_timeout: 'header_timeout' in [limits] must be a duration from 10ms "
          "up to 24h: '-1ms' is not a duration; write it like 500ms, 30s, 2m or 1h30m",
          "listen.1.address: '127.0.0.1:8000' is listened on twice",
          "listen.1.tls: TLS needs 'certificate' and 'key' in [listen.tls]"));
}

TEST(Warnings, TellWhatHasNoEffect) {
  EXPECT_THAT(warnings(loaded(kApp)), IsEmpty());
  const Config config = loaded(R"(
[[listen]]
protocols = ["h2", "http/1.1"]
tls = { certificate = "c", key = "k" }
[[listen]]
address = ":80"
protocols = ["http/1.1"]
trusted = ["*"]
[app]
target = "app:application"
interface = "asgi"
threads = 4
max_requests_jitter = 1000
[[route]]
[[route]]
path = "/late"
[admin]
listen = ":9180"
)");
  EXPECT_THAT(
      lines(warnings(config)),
      ElementsAre(
          "listen.0.protocols: \"h2\" is not supported yet: clients are offered http/1.1 only",
          "listen.1.protocols: 'protocols' in [[listen]] has no effect without TLS",
          "listen.1.trusted: 'trusted' in [[listen]] has no effect while 'forwarded' is "
          "\"off\"",
          "app.threads: 'threads' has no effect on an ASGI application; 'concurrency' has",
          "app.max_requests_jitter: 'max_requests_jitter' has no effect without 'max_requests'",
          "route.1: this [[route]] is never reached: the one before it takes every request",
          "admin.listen: [admin] listens on :9180 and asks for no token: everybody who "
          "reaches it sees metrics, paths and stacks; set 'token_file'"));
}

TEST(Warnings, DoNotTellOfAnAdminAddressThatOnlyThisMachineReaches) {
  for (const char* admin :
       {"", "listen = \"[::1]:9180\"", "listen = \"localhost:1\"", "listen = \"unix:a\"",
        "listen = \"\"", "listen = \":9180\"\ntoken_file = \"token\""}) {
    EXPECT_THAT(lines(warnings(loaded(kApp + "[admin]\n" + admin + "\n"))), ElementsAre()) << admin;
  }
}

TEST(Validate, FindsBucketsThatDoNotAscendAndHalfACertificate) {
  Config config = loaded(kApp);
  config.admin.certificate = "c";
  config.admin.latency_buckets = {"2ms", "2000us"};
  EXPECT_THAT(lines(validate(config)),
              ElementsAre("admin.certificate: [admin] needs 'certificate' and 'key' together",
                          "admin.latency_buckets: 'latency_buckets' in [admin] must ascend, each "
                          "time once"));
}

TEST(Warnings, TellOfAnApplicationThatNoRouteReaches) {
  EXPECT_THAT(lines(warnings(loaded(kTwoApps + "[[route]]\napp = \"web\"\n"))),
              ElementsAre("apps.api: no [[route]] leads to the application 'api'"));
}

}  // namespace
}  // namespace saola::config
