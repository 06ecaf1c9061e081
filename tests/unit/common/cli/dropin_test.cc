#include "common/cli/dropin.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace saola::cli {
namespace {

using config::Config;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Words = std::vector<std::string>;

// An empty directory to start in, so that no gunicorn.conf.py of the surroundings counts.
class DropinTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "saola-cli-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Result<Dropin, DropinErrors> read(Words flags, config::EnvironmentView environment = {}) const {
    flags.insert(flags.begin(), "app:application");
    return read_dropin({std::move(flags), std::move(environment), directory_});
  }
  Dropin good(const Words& flags, const config::EnvironmentView& environment = {}) const {
    auto dropin = read(flags, environment);
    EXPECT_TRUE(dropin) << testing::PrintToString(flags) << testing::PrintToString(dropin.error());
    if (!dropin) return {};
    EXPECT_THAT(config::validate(dropin->config), IsEmpty()) << testing::PrintToString(flags);
    return *std::move(dropin);
  }
  Config config_of(const Words& flags, const config::EnvironmentView& environment = {}) const {
    return good(flags, environment).config;
  }
  config::App app_of(const Words& flags, const config::EnvironmentView& environment = {}) const {
    return config_of(flags, environment).apps.at("app");
  }
  config::Listen listen_of(const Words& flags, const config::EnvironmentView& env = {}) const {
    return config_of(flags, env).listen.at(0);
  }
  Words warnings_of(const Words& flags) const { return good(flags).warnings; }
  DropinErrors errors_of(const Words& flags, const config::EnvironmentView& env = {}) const {
    const auto dropin = read(flags, env);
    return dropin ? DropinErrors{"none"} : dropin.error();
  }

  std::string directory_;
};

TEST_F(DropinTest, TakesThePlatformsWholeCommandLine) {
  const Dropin dropin = good({"-b",
                              "0.0.0.0:8443",
                              "-w",
                              "3",
                              "-k",
                              "uvicorn.workers.UvicornWorker",
                              "--certfile",
                              "cert.pem",
                              "--keyfile",
                              "key.pem",
                              "--threads",
                              "4",
                              "--timeout",
                              "120",
                              "--graceful-timeout",
                              "20",
                              "--keep-alive",
                              "5",
                              "--max-requests",
                              "1000",
                              "--max-requests-jitter",
                              "100",
                              "--access-logfile",
                              "-",
                              "--error-logfile",
                              "error.log",
                              "--log-level",
                              "debug",
                              "-e",
                              "K=V",
                              "--pid",
                              "saola.pid",
                              "--user",
                              "www-data",
                              "--group",
                              "adm",
                              "--preload",
                              "--forwarded-allow-ips",
                              "10.0.0.0/8",
                              "--backlog",
                              "512",
                              "--worker-connections",
                              "200",
                              "--limit-request-line",
                              "4094"});
  const Config& config = dropin.config;
  const config::App& app = config.apps.at("app");
  const config::Listen& listen = config.listen.at(0);
  EXPECT_EQ(app.target, "app:application");
  EXPECT_EQ(app.workers, 3);
  EXPECT_EQ(app.threads, 4);
  EXPECT_EQ(app.concurrency, 200);
  EXPECT_EQ(app.interface, config::Interface::kAuto);
  EXPECT_EQ(app.max_requests, 1000U);
  EXPECT_EQ(app.max_requests_jitter, 100U);
  EXPECT_EQ(app.env.at("K"), "V");
  EXPECT_EQ(config.listen.size(), 1U);
  EXPECT_EQ(listen.address, "0.0.0.0:8443");
  EXPECT_EQ(listen.backlog, 512);
  EXPECT_EQ(listen.forwarded, config::Forwarded::kXForwarded);
  EXPECT_THAT(listen.trusted, ElementsAre("10.0.0.0/8", "unix"));
  ASSERT_TRUE(listen.tls);
  EXPECT_EQ(listen.tls->certificates.at(0).certificate, "cert.pem");
  EXPECT_EQ(listen.tls->certificates.at(0).key, "key.pem");
  EXPECT_EQ(config.server.graceful_timeout, std::chrono::seconds(20));
  EXPECT_EQ(config.server.pid_file, "saola.pid");
  EXPECT_EQ(config.server.user, "www-data");
  EXPECT_EQ(config.server.group, "adm");
  EXPECT_EQ(config.limits.keepalive_timeout, std::chrono::seconds(5));
  EXPECT_EQ(config.limits.request_line, 4094U);
  EXPECT_EQ(config.log.access, "-");
  EXPECT_EQ(config.log.error, "error.log");
  EXPECT_EQ(config.log.level, LogLevel::kDebug);
  EXPECT_EQ(app.hang_timeout, std::chrono::seconds(120));
  EXPECT_TRUE(app.preload);
  EXPECT_THAT(dropin.warnings, IsEmpty());
}

TEST_F(DropinTest, WithoutFlagsIsWhatGunicornIsWithoutFlags) {
  const Dropin dropin = good({});
  const Config& config = dropin.config;
  EXPECT_THAT(dropin.warnings, IsEmpty());
  ASSERT_EQ(config.listen.size(), 1U);
  EXPECT_EQ(config.listen[0].address, "127.0.0.1:8000");
  EXPECT_FALSE(config.listen[0].tls);
  EXPECT_THAT(config.listen[0].trusted, ElementsAre("127.0.0.1", "::1", "unix"));
  EXPECT_EQ(config.apps.at("app").workers, 1);
  EXPECT_EQ(config.log.access, "");
  EXPECT_EQ(config.log.access_format,
            R"(%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s")");
  EXPECT_EQ(config.directory, directory_);
  EXPECT_EQ(config.path, "");
}

TEST_F(DropinTest, BindsWhereGunicornWouldBind) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"0.0.0.0:8443", "0.0.0.0:8443"},
      {":80", ":80"},
      {"LOCALHOST:80", "localhost:80"},
      {"127.0.0.1", "127.0.0.1:8000"},
      {"[::]:80", "[::]:80"},
      {"[::1]", "[::1]:8000"},
      {"tcp://1.2.3.4:5", "1.2.3.4:5"},
      {"unix:/run/A.sock", "unix:/run/A.sock"},
      {"unix:///run/a.sock", "unix:/run/a.sock"},
      {"unix:a.sock", "unix:a.sock"},
      {"fd://3", "fd:3"},
  };
  for (const auto& [bind, address] : cases) EXPECT_EQ(listen_of({"-b", bind}).address, address);
  EXPECT_FALSE(listen_of({"-b", "[::]:80"}).ipv6_only);
  EXPECT_THAT(errors_of({"-b", "8000"}), ElementsAre(HasSubstr("write :8000")));
}

TEST_F(DropinTest, ABadAddressIsAnErrorOfTheConfiguration) {
  for (const std::string bind : {"a:b:c", "host:port", "1.2.3.4:99999", "unix:", "fd://x", "::1"}) {
    const auto dropin = read({"-b", bind});
    ASSERT_TRUE(dropin) << bind;
    EXPECT_FALSE(config::validate(dropin->config).empty()) << bind;
  }
}

TEST_F(DropinTest, ServesTlsOnEveryListener) {
  const Config config = config_of({"-b", ":1", "-b", "unix:a", "--certfile", "both.pem"});
  ASSERT_EQ(config.listen.size(), 2U);
  for (const config::Listen& listen : config.listen) {
    ASSERT_TRUE(listen.tls);
    // As Python's load_cert_chain: without a key file the key is in the certificate's.
    EXPECT_EQ(listen.tls->certificates.at(0).key, "both.pem");
  }
  EXPECT_THAT(errors_of({"--keyfile", "k"}), ElementsAre("--keyfile: needs --certfile"));
}

TEST_F(DropinTest, KeepsTheTlsRestrictionsOrSaysThatItCannot) {
  const auto tls = [this](const Words& flags) {
    Words all{"--certfile", "c"};
    all.insert(all.end(), flags.begin(), flags.end());
    return *listen_of(all).tls;
  };
  EXPECT_EQ(tls({"--ciphers", "ECDHE+AESGCM"}).ciphers, "ECDHE+AESGCM");
  EXPECT_EQ(tls({"--ssl-version", "TLSv1_3"}).min_version, config::TlsVersion::kTls13);
  EXPECT_EQ(tls({"--ssl-version", "PROTOCOL_TLSv1_2"}).min_version, config::TlsVersion::kTls12);
  EXPECT_EQ(tls({"--ssl-version", "5"}).min_version, config::TlsVersion::kTls12);
  EXPECT_EQ(tls({"--cert-reqs", "0"}).certificates.size(), 1U);
  EXPECT_THAT(warnings_of({"--certfile", "c", "--ssl-version", "TLSv1"}),
              ElementsAre(HasSubstr("TLS 1.2")));
  EXPECT_THAT(errors_of({"--ssl-version", "TLSv9"}), ElementsAre(StartsWith("--ssl-version: ")));
  for (const std::string level : {"1", "2", "CERT_REQUIRED", "0x2"}) {
    EXPECT_THAT(errors_of({"--cert-reqs", level}), ElementsAre(StartsWith("--cert-reqs: ")))
        << level;
  }
  EXPECT_THAT(errors_of({"--ca-certs", "ca.pem"}), ElementsAre(StartsWith("--ca-certs: ")));
  EXPECT_THAT(warnings_of({"--ciphers", "x"}),
              ElementsAre("--ciphers: no effect without --certfile"));
}

TEST_F(DropinTest, ReadsTheVariablesThatGunicornReads) {
  EXPECT_EQ(listen_of({}, {{"PORT", "9000"}}).address, "0.0.0.0:9000");
  EXPECT_EQ(listen_of({"-b", ":1"}, {{"PORT", "9000"}}).address, ":1");
  EXPECT_EQ(app_of({}, {{"WEB_CONCURRENCY", "5"}}).workers, 5);
  EXPECT_EQ(app_of({"-w", "2"}, {{"WEB_CONCURRENCY", "5"}}).workers, 2);
  EXPECT_THAT(errors_of({}, {{"WEB_CONCURRENCY", "many"}}),
              ElementsAre(StartsWith("WEB_CONCURRENCY: ")));
  EXPECT_THAT(listen_of({}, {{"FORWARDED_ALLOW_IPS", "*"}}).trusted, ElementsAre("*", "unix"));
  EXPECT_THAT(
      listen_of({"--forwarded-allow-ips", "::1, 10.0.0.1"}, {{"FORWARDED_ALLOW_IPS", "*"}}).trusted,
      ElementsAre("::1", "10.0.0.1", "unix"));
  EXPECT_THAT(listen_of({"--forwarded-allow-ips", ""}).trusted, ElementsAre("unix"));
}

TEST_F(DropinTest, TheVariableStandsBelowTheCommandLine) {
  const config::EnvironmentView variable{
      {"GUNICORN_CMD_ARGS",
       "-w 5 --bind=:1 -b :2 --threads 7 -e A=1 --access-logformat '%(h)s x'"}};
  EXPECT_EQ(app_of({}, variable).workers, 5);
  EXPECT_EQ(app_of({"-w", "2"}, variable).workers, 2);
  EXPECT_EQ(app_of({"-w", "2"}, variable).threads, 7);
  EXPECT_EQ(config_of({}, variable).listen.size(), 2U);
  EXPECT_EQ(config_of({"-b", ":3"}, variable).listen.size(), 1U);
  EXPECT_EQ(app_of({"-e", "B=2"}, variable).env, (std::map<std::string, std::string>{{"B", "2"}}));
  EXPECT_EQ(config_of({}, variable).log.access_format, "%(h)s x");
  // As in gunicorn, an application named there does not count.
  EXPECT_EQ(app_of({}, {{"GUNICORN_CMD_ARGS", "other:app"}}).target, "app:application");
}

TEST_F(DropinTest, MistakesInTheVariableAreNamedAsItsOwn) {
  EXPECT_THAT(errors_of({}, {{"GUNICORN_CMD_ARGS", "-w 'x"}}),
              ElementsAre("GUNICORN_CMD_ARGS: a quotation that is not closed"));
  EXPECT_THAT(errors_of({}, {{"GUNICORN_CMD_ARGS", "--wrokers 3"}}),
              ElementsAre(StartsWith("GUNICORN_CMD_ARGS: unrecognized arguments: '--wrokers'")));
  EXPECT_THAT(errors_of({}, {{"GUNICORN_CMD_ARGS", "--paste p.ini"}}),
              ElementsAre(StartsWith("GUNICORN_CMD_ARGS: --paste: ")));
}

TEST_F(DropinTest, SaolasOwnVariablesStandBetweenTheDefaultsAndTheFlags) {
  const config::EnvironmentView own{{"SAOLA_LIMITS_BODY", "5MiB"}, {"SAOLA_APP_WORKERS", "4"}};
  EXPECT_EQ(config_of({}, own).limits.body, 5U << 20);
  EXPECT_EQ(app_of({}, own).workers, 4);
  EXPECT_EQ(app_of({"-w", "2"}, own).workers, 2);
  EXPECT_EQ(listen_of({}, own).address, "127.0.0.1:8000");
  EXPECT_EQ(config_of({}, own).directory, directory_);
  EXPECT_EQ(listen_of({}, {{"SAOLA_LISTEN_0_ADDRESS", ":9"}}).address, ":9");
  EXPECT_EQ(listen_of({}, {{"SAOLA_CONFIG", "x.toml"}}).address, "127.0.0.1:8000");
  EXPECT_THAT(errors_of({}, {{"SAOLA_LIMITS_BODI", "1"}}),
              ElementsAre(HasSubstr("SAOLA_LIMITS_BODI")));
}

TEST_F(DropinTest, TheWorkerClassIsNeverImported) {
  for (const std::string known :
       {"sync", "gthread", "asgi", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker",
        "gunicorn.workers.gthread.ThreadWorker"}) {
    EXPECT_THAT(warnings_of({"-k", known}), IsEmpty()) << known;
    EXPECT_EQ(app_of({"-k", known}).interface, config::Interface::kAuto) << known;
  }
  EXPECT_THAT(warnings_of({"-k", "gevent"}), ElementsAre(HasSubstr("greenlets")));
  EXPECT_THAT(warnings_of({"-k", "eventlet"}), ElementsAre(HasSubstr("greenlets")));
  EXPECT_THAT(warnings_of({"-k", "tornado"}), ElementsAre(HasSubstr("Tornado")));
  EXPECT_THAT(warnings_of({"-k", "my.Worker"}),
              ElementsAre(HasSubstr("'my.Worker' is not imported")));
  using Loop = config::AsyncLoop;
  EXPECT_EQ(app_of({"-k", "uvicorn.workers.UvicornH11Worker"}).loop, Loop::kAsyncio);
  EXPECT_EQ(app_of({"-k", "uvicorn.workers.UvicornH11Worker", "--asgi-loop", "uvloop"}).loop,
            Loop::kUvloop);
}

TEST_F(DropinTest, TheApplicationsSettingsReachIt) {
  EXPECT_EQ(app_of({"--root-path", "/api"}).root_path, "/api");
  EXPECT_EQ(app_of({"-n", "shop"}).process_name, "shop");
  EXPECT_THAT(app_of({"--pythonpath", "a,/b"}).pythonpath, ElementsAre("/b", "a"));
  EXPECT_EQ(app_of({"--asgi-lifespan", "OFF"}).lifespan, config::Lifespan::kOff);
  EXPECT_THAT(errors_of({"--asgi-loop", "trio"}),
              ElementsAre("--asgi-loop: must be one of auto, asyncio, uvloop, not 'trio'"));
  EXPECT_EQ(app_of({"-e", "A=1=2", "-e", "B="}).env,
            (std::map<std::string, std::string>{{"A", "1=2"}, {"B", ""}}));
  EXPECT_THAT(errors_of({"-e", "A"}), ElementsAre("--env: 'A' is not KEY=VALUE"));
  EXPECT_EQ(app_of({"--worker-connections", "1000000"}).concurrency, 50'000);
  EXPECT_EQ(app_of({"-w", "0"}).workers, 0);  // auto
}

TEST_F(DropinTest, LimitsMeanWhatTheyMeanInGunicorn) {
  const auto limits = [this](const Words& flags) { return config_of(flags).limits; };
  const config::Limits defaults;
  EXPECT_EQ(limits({"--limit-request-line", "0"}).request_line, 65536U);
  EXPECT_EQ(limits({"--limit-request-line", "100"}).request_line, 100U);
  EXPECT_EQ(limits({"--limit-request-fields", "20"}).header_count, 20U);
  EXPECT_EQ(limits({"--limit-request-fields", "0"}).header_count, 10'000U);
  EXPECT_EQ(limits({"--limit-request-field_size", "0"}).header_field, defaults.header_field);
  EXPECT_EQ(limits({"--limit-request-field_size", "65536"}).header_field, 65536U);
  EXPECT_EQ(limits({"--limit-request-field_size", "65536"}).header_bytes,
            defaults.header_bytes + 65536 - defaults.header_field);
  EXPECT_EQ(limits({"--keep-alive", "0"}).keepalive_requests, 1U);
  EXPECT_EQ(limits({"--keep-alive", "65"}).keepalive_timeout, std::chrono::seconds(65));
  EXPECT_EQ(limits({}), defaults);
  EXPECT_EQ(config_of({"--graceful-timeout", "999999"}).server.graceful_timeout,
            std::chrono::hours(24));
}

TEST_F(DropinTest, TheTimeOutIsARequestsForTheSyncClassAlone) {
  using std::chrono::seconds;
  const config::App plain = app_of({});
  EXPECT_EQ(plain.hang_timeout, seconds(30));
  EXPECT_EQ(plain.sync_max_time, seconds(30));
  EXPECT_EQ(plain.request_timeout, seconds(0));
  EXPECT_EQ(plain.request_max_time, seconds(0));
  for (const char* name : {"sync", "gunicorn.workers.sync.SyncWorker"}) {
    const config::App sync = app_of({"-k", name, "-t", "120"});
    EXPECT_EQ(sync.hang_timeout, seconds(120)) << name;
    EXPECT_EQ(sync.sync_max_time, seconds(120)) << name;
  }
  for (const char* name : {"gthread", "uvicorn.workers.UvicornWorker", "gevent"}) {
    const config::App other = app_of({"-k", name, "--timeout", "120"});
    EXPECT_EQ(other.hang_timeout, seconds(120)) << name;
    EXPECT_EQ(other.sync_max_time, seconds(0)) << name;
    EXPECT_EQ(other.request_timeout, seconds(0)) << name;
  }
  const config::App off = app_of({"--timeout", "0"});
  EXPECT_EQ(off.hang_timeout, seconds(0));
  EXPECT_EQ(off.sync_max_time, seconds(0));
  EXPECT_EQ(app_of({}, {{"SAOLA_APP_REQUEST_TIMEOUT", "10s"}}).request_timeout, seconds(10));
}

TEST_F(DropinTest, SyslogIsGunicornsSyslog) {
  EXPECT_EQ(config_of({"--log-syslog-to", "udp://h:1"}).log.syslog, "");  // as in gunicorn
  const config::Log by_default = config_of({"--log-syslog"}).log;
  EXPECT_EQ(by_default.syslog, "udp:localhost:514");
  EXPECT_EQ(by_default.syslog_facility, "user");
  EXPECT_THAT(by_default.syslog_tag, testing::StartsWith("gunicorn."));
  EXPECT_THAT(by_default.syslog_tag, testing::EndsWith(".{log}"));
  EXPECT_THAT(by_default.syslog_logs, ElementsAre("error", "access"));
  EXPECT_EQ(by_default.error, "-");
  const config::Log log =
      config_of({"--log-syslog", "--log-syslog-to", "unix:///run/log#stream", "--log-syslog-prefix",
                 "a:b c", "--log-syslog-facility", "Local0", "--disable-redirect-access-to-syslog"})
          .log;
  EXPECT_EQ(log.syslog, "unix:/run/log");
  EXPECT_EQ(log.syslog_tag, "gunicorn.a.b.c.{log}");
  EXPECT_EQ(log.syslog_facility, "local0");
  EXPECT_THAT(log.syslog_logs, ElementsAre("error"));
}

TEST_F(DropinTest, LogsGoWhereGunicornSendsThem) {
  EXPECT_EQ(config_of({"--access-logfile", "a.log"}).log.access, "a.log");
  EXPECT_EQ(config_of({"--access-logfile", "-", "--access-logform", "%(h)s"}).log.access_format,
            "%(h)s");
  EXPECT_EQ(config_of({"--log-file", "e.log"}).log.error, "e.log");
  EXPECT_EQ(config_of({"--log-level", "WARNING"}).log.level, LogLevel::kWarning);
  EXPECT_EQ(config_of({"--log-level", "critical"}).log.level, LogLevel::kCritical);
  EXPECT_THAT(warnings_of({"--log-level", "trace"}), ElementsAre(HasSubstr("'trace'")));
}

TEST_F(DropinTest, ProxyProtocolIsTheOnlySourceOfTheAddress) {
  for (const Words& on : {Words{"--proxy-protocol"}, Words{"--proxy-protocol", "v1"},
                          Words{"--proxy-protocol=AUTO"}, Words{"--proxy-protocol=true"}}) {
    const config::Listen listen = listen_of(on);
    EXPECT_EQ(listen.forwarded, config::Forwarded::kProxyProtocol) << on.back();
    EXPECT_THAT(listen.trusted, ElementsAre("127.0.0.1", "::1", "unix"));
  }
  EXPECT_EQ(listen_of({"--proxy-protocol", "off"}).forwarded, config::Forwarded::kXForwarded);
  EXPECT_THAT(listen_of({"--proxy-protocol", "--proxy-allow-from", "10.0.0.0/8"}).trusted,
              ElementsAre("10.0.0.0/8", "unix"));
  EXPECT_THAT(warnings_of({"--proxy-protocol", "--forwarded-allow-ips", "*"}),
              ElementsAre(StartsWith("--forwarded-allow-ips: no effect")));
  EXPECT_THAT(errors_of({"--proxy-protocol", "v3"}), ElementsAre(StartsWith("--proxy-protocol: ")));
}

TEST_F(DropinTest, ProtocolsAreWhatThisVersionSpeaks) {
  EXPECT_THAT(listen_of({"--http-protocols", "h1"}).protocols, ElementsAre("http/1.1"));
  EXPECT_THAT(warnings_of({"--http-protocols", "h2,h1"}),
              ElementsAre(StartsWith("--http-protocols: ")));
  EXPECT_THAT(errors_of({"--http-protocols", "h2"}), ElementsAre(HasSubstr("only HTTP/1.1")));
  EXPECT_THAT(errors_of({"--http-protocols", "spdy,h1"}), ElementsAre(HasSubstr("'spdy'")));
  EXPECT_THAT(errors_of({"--protocol", "uwsgi"}), ElementsAre(StartsWith("--protocol: ")));
  EXPECT_THAT(warnings_of({"--protocol", "http", "--header-map", "drop"}), IsEmpty());
  EXPECT_THAT(warnings_of({"--header-map", "dangerous"}),
              ElementsAre(StartsWith("--header-map: ")));
  EXPECT_THAT(errors_of({"--header-map", "refuse"}), ElementsAre(StartsWith("--header-map: ")));
}

TEST_F(DropinTest, UnixSocketsAreAsOpenAsGunicornMakesThem) {
  EXPECT_EQ(listen_of({"-b", "unix:a"}).mode, 0666);
  EXPECT_EQ(listen_of({"-b", "unix:a", "-m", "007"}).mode, 0660);
  EXPECT_EQ(config_of({"-m", "007"}).server.umask, 007);
  EXPECT_EQ(config_of({}).server.umask, 022);
}

TEST_F(DropinTest, PathsAreRelativeToChdir) {
  std::filesystem::create_directory(directory_ + "/site");
  EXPECT_EQ(config_of({"--chdir", "site"}).directory, directory_ + "/site");
  EXPECT_EQ(config_of({"--chdir", directory_ + "/site/"}).directory, directory_ + "/site");
  EXPECT_EQ(config_of({"--chdir", ""}).directory, directory_);
  EXPECT_THAT(errors_of({"--chdir", "missing"}), ElementsAre(HasSubstr("is not a directory")));
}

TEST_F(DropinTest, APythonConfigurationFileIsNeverLeftOutSilently) {
  EXPECT_THAT(errors_of({"-c", "conf.py"}), ElementsAre(HasSubstr("pass its settings as flags")));
  EXPECT_THAT(errors_of({"-c", "python:conf"}),
              ElementsAre(HasSubstr("pass its settings as flags")));
  EXPECT_THAT(errors_of({"-c", "saola.toml"}),
              ElementsAre(HasSubstr("saola serve -c 'saola.toml'")));
  std::ofstream(directory_ + "/gunicorn.conf.py") << "workers = 3\n";
  EXPECT_THAT(errors_of({}), ElementsAre(StartsWith("gunicorn.conf.py: ")));
}

TEST_F(DropinTest, SaysWhereTheServerRuns) {
  const auto where = [this](Words words) {
    words.insert(words.begin(), "app:application");
    return read_dropin({words, {}, directory_}).value().where;
  };
  EXPECT_FALSE(where({}).daemon);
  EXPECT_TRUE(where({"-D"}).daemon);
  EXPECT_FALSE(where({"-D"}).keeps_output);
  EXPECT_TRUE(where({"--daemon", "-R"}).keeps_output);
}

TEST_F(DropinTest, AnApplicationMustBeNamed) {
  const auto dropin = read_dropin({{"-w", "3"}, {}, directory_});
  ASSERT_FALSE(dropin);
  EXPECT_THAT(dropin.error(), ElementsAre(StartsWith("no application named")));
}

TEST_F(DropinTest, TheTargetIsPassedOnAsItIs) {
  for (const std::string target : {"app", "pkg.mod:make()", "pkg.mod:make('a', b=1)", "a.b:c.d"}) {
    const auto dropin = read_dropin({{target}, {}, directory_});
    ASSERT_TRUE(dropin);
    EXPECT_EQ(dropin->config.apps.at("app").target, target);
  }
}

TEST_F(DropinTest, SaysAllReasonsAtOnce) {
  EXPECT_THAT(errors_of({"--ca-certs", "x", "--cert-reqs", "2", "--paste", "p.ini"}),
              AllOf(Contains(StartsWith("--ca-certs: ")), Contains(StartsWith("--cert-reqs: ")),
                    Contains(StartsWith("--paste: ")), testing::SizeIs(3)));
}

// A flag and a value that its kind of argument takes.
Words example_of(const Setting& setting) {
  const std::string flag(long_flag(setting));
  switch (setting.argument) {
    case Argument::kNone:
    case Argument::kOptionalText:
      return {flag};
    case Argument::kInteger:
      return {flag, "77"};
    case Argument::kMode:
      return {flag, "077"};
    case Argument::kText:
    case Argument::kList:
      return {flag, "text"};
    case Argument::kFileOnly:
      return {};
  }
  return {};
}

TEST_F(DropinTest, WhatHasNoEffectIsSaidExactlyOnceAndChangesNothing) {
  const Config plain = config_of({});
  for (const Setting& setting : gunicorn_settings()) {
    if (setting.support != Support::kIgnored) continue;
    const Dropin dropin = good(example_of(setting));
    EXPECT_THAT(dropin.warnings,
                ElementsAre(StartsWith(std::string(long_flag(setting)) + ": no effect: ")));
    EXPECT_EQ(dropin.config, plain) << setting.name;
  }
}

TEST_F(DropinTest, WhatIsRefusedIsNamed) {
  for (const Setting& setting : gunicorn_settings()) {
    if (setting.support != Support::kRefused) continue;
    EXPECT_THAT(errors_of(example_of(setting)),
                ElementsAre(StartsWith(std::string(long_flag(setting)) + ": ")));
  }
}

// Every setting that is said to work changes the configuration, or is listed here with the reason
// why not.
TEST_F(DropinTest, WhatWorksChangesTheConfiguration) {
  const std::map<std::string_view, Words> examples{
      {"bind", {"-b", ":1"}},
      {"worker_class", {"-k", "uvicorn.workers.UvicornH11Worker"}},
      {"certfile", {"--certfile", "c"}},
      {"keyfile", {"--certfile", "c", "--keyfile", "k"}},
      {"ciphers", {"--certfile", "c", "--ciphers", "x"}},
      {"ssl_version", {"--certfile", "c", "--ssl-version", "TLSv1_3"}},
      {"proxy_allow_ips", {"--proxy-protocol", "--proxy-allow-from", "1.2.3.4"}},
      {"forwarded_allow_ips", {"--forwarded-allow-ips", "1.2.3.4"}},
      {"chdir", {"--chdir", "/"}},
      {"raw_env", {"-e", "A=1"}},
      {"loglevel", {"--log-level", "error"}},
      {"asgi_loop", {"--asgi-loop", "uvloop"}},
      {"asgi_lifespan", {"--asgi-lifespan", "on"}},
      {"syslog_addr", {"--log-syslog", "--log-syslog-to", "tcp://h:1"}},
      {"syslog_prefix", {"--log-syslog", "--log-syslog-prefix", "p"}},
      {"syslog_facility", {"--log-syslog", "--log-syslog-facility", "mail"}},
      {"disable_redirect_access_to_syslog",
       {"--log-syslog", "--disable-redirect-access-to-syslog"}},
  };
  const std::set<std::string_view> changes_nothing{
      "check_config",   "print_config",              // commands
      "capture_output", "initgroups",                // always so
      "daemon",         "enable_stdio_inheritance",  // where it runs
  };
  const Config plain = config_of({});
  for (const Setting& setting : gunicorn_settings()) {
    if (setting.support != Support::kSame && setting.support != Support::kMapped) continue;
    const auto found = examples.find(setting.name);
    const Words flags = found == examples.end() ? example_of(setting) : found->second;
    EXPECT_EQ(config_of(flags) == plain, changes_nothing.contains(setting.name)) << setting.name;
  }
  EXPECT_TRUE(good({"--check-config"}).check_config);
  EXPECT_TRUE(good({"--print-config"}).print_config);
}

TEST_F(DropinTest, TheControlSocketIsWhereGunicornsFlagsSay) {
  EXPECT_EQ(config_of({}).server.control_socket, "");
  EXPECT_EQ(config_of({}).server.control_socket_mode, 0600);
  const auto server =
      config_of({"--control-socket", "run/x.ctl", "--control-socket-mode", "0o660"}).server;
  EXPECT_EQ(server.control_socket, "run/x.ctl");
  EXPECT_EQ(server.control_socket_mode, 0660);
  EXPECT_EQ(config_of({"--no-control-socket", "--control-socket", "x"}).server.control_socket,
            "off");
  // As in gunicorn, this is a decimal number.
  EXPECT_THAT(errors_of({"--control-socket-mode", "660"}), Contains(HasSubstr("0o660")));
}

TEST_F(DropinTest, SocketsOfAServiceManagerReplaceBind) {
  const config::EnvironmentView activated = {{"LISTEN_PID", std::to_string(::getpid())},
                                             {"LISTEN_FDS", "2"}};
  const auto dropin = good({"-b", ":9000"}, activated);
  ASSERT_EQ(dropin.config.listen.size(), 2U);
  EXPECT_EQ(dropin.config.listen[0].address, "fd:3");
  EXPECT_EQ(dropin.config.listen[1].address, "fd:4");
  EXPECT_EQ(dropin.config.listen[1].forwarded, config::Forwarded::kXForwarded);
  EXPECT_THAT(dropin.warnings, Contains(HasSubstr("LISTEN_FDS")));
  EXPECT_EQ(listen_of({"-b", ":9000"}, {{"LISTEN_PID", "1"}, {"LISTEN_FDS", "2"}}).address,
            ":9000");
}

}  // namespace
}  // namespace saola::cli
