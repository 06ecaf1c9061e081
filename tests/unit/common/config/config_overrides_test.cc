#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/common/config/load.h"

namespace saola::config {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

TEST(Environment, StandsOverTheFile) {
  const Config config = loaded(kApp + "workers = 2\n[limits]\nbody = \"1MiB\"\n",
                               {{"SAOLA_APP_WORKERS", "4"},
                                {"SAOLA_LIMITS_BODY", "10MiB"},
                                {"SAOLA_LOG_LEVEL", "warning"},
                                {"SAOLA_APP_FACTORY", "yes"},
                                {"SAOLA_APP_PYTHONPATH", "lib, src"},
                                {"SAOLA_APP_ENV_lower_Case", "a,b=c"},
                                {"SAOLA_ADMIN_LISTEN", ":9180"},
                                {"SAOLA_SERVER_UMASK", "077"},
                                {"HOME", "/root"},
                                {"SAOLA", "not ours"},
                                {"SAOLA_CONFIG", "saola.toml"},
                                {"SAOLA_ROLE", "edge:3"}});
  const App& app = config.apps.at("app");
  EXPECT_EQ(app.workers, 4);
  EXPECT_EQ(config.limits.body, 10U << 20U);
  EXPECT_EQ(config.log.level, LogLevel::kWarning);
  EXPECT_TRUE(app.factory);
  EXPECT_THAT(app.pythonpath, ElementsAre("lib", "src"));
  EXPECT_THAT(app.env, ElementsAre(testing::Pair("lower_Case", "a,b=c")));
  EXPECT_EQ(config.admin.listen, ":9180");
  EXPECT_EQ(config.server.umask, 077);
}

TEST(Environment, AloneIsEnough) {
  const Config config = loaded("", {{"SAOLA_APP_TARGET", "app:application"},
                                    {"SAOLA_LISTEN_0_ADDRESS", ":8443"},
                                    {"SAOLA_LISTEN_0_TLS_CERTIFICATE", "cert.pem"},
                                    {"SAOLA_LISTEN_0_TLS_KEY", "key.pem"},
                                    {"SAOLA_LISTEN_1_ADDRESS", ":8080"},
                                    {"SAOLA_LISTEN_1_REDIRECT_HTTPS", "on"},
                                    {"SAOLA_ROUTE_0_MAX_BODY", "8KB"}});
  EXPECT_EQ(config.apps.at("app").target, "app:application");
  ASSERT_EQ(config.listen.size(), 2U);
  EXPECT_THAT(config.listen[0].tls->certificates,
              ElementsAre(Certificate{"cert.pem", "key.pem", ""}));
  EXPECT_TRUE(config.listen[1].redirect_https);
  EXPECT_EQ(config.routes.at(0).max_body, 8000U);
}

TEST(Environment, AddsListenersInTheOrderOfTheirNumbers) {
  EnvironmentView environment;
  for (int i = 11; i >= 0; --i) {
    environment.emplace_back("SAOLA_LISTEN_" + std::to_string(i) + "_ADDRESS",
                             ":" + std::to_string(9000 + i));
  }
  const Config config = loaded(kApp, environment);
  ASSERT_EQ(config.listen.size(), 12U);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(config.listen[i].address, ":" + std::to_string(9000 + i));
  }
}

TEST(Environment, ReachesNamedApplications) {
  const std::string file =
      "[apps.web]\ntarget = \"w:a\"\n[apps.my-api]\ntarget = \"a:a\"\n"
      "[[route]]\npath = \"/a/\"\napp = \"my-api\"\n[[route]]\napp = \"web\"\n";
  const Config config =
      loaded(file, {{"SAOLA_APPS_MY_API_WORKERS", "3"}, {"SAOLA_APPS_WEB_ENV_X", "y"}});
  EXPECT_EQ(config.apps.at("my-api").workers, 3);
  EXPECT_EQ(config.apps.at("web").env.at("X"), "y");
  EXPECT_THAT(
      problems(file, {{"SAOLA_APP_WORKERS", "3"}}),
      ElementsAre("SAOLA_APP_WORKERS: there are several applications; use apps.NAME with one "
                  "of my-api, web"));
  EXPECT_THAT(problems(file, {{"SAOLA_APPS_WEP_WORKERS", "3"}}),
              ElementsAre("SAOLA_APPS_WEP_WORKERS: no setting has this name; did you mean "
                          "SAOLA_APPS_WEB_WORKERS?"));
}

TEST(Environment, OfTheOnlyApplicationNeedsNotItsName) {
  const Config config = loaded("[apps.web]\ntarget = \"w:a\"\n", {{"SAOLA_APP_WORKERS", "3"}});
  EXPECT_EQ(config.apps.at("web").workers, 3);
}

TEST(Environment, OfAKubernetesServiceCalledSaolaIsNotMeantForUs) {
  EXPECT_EQ(loaded(kApp, {{"SAOLA_SERVICE_HOST", "10.0.0.1"},
                          {"SAOLA_SERVICE_PORT", "8443"},
                          {"SAOLA_SERVICE_PORT_HTTPS", "8443"},
                          {"SAOLA_PORT", "tcp://10.0.0.1:8443"},
                          {"SAOLA_PORT_8443_TCP", "tcp://10.0.0.1:8443"},
                          {"SAOLA_PORT_8443_TCP_PROTO", "tcp"},
                          {"SAOLA_PORT_8443_TCP_PORT", "8443"},
                          {"SAOLA_PORT_8443_TCP_ADDR", "10.0.0.1"},
                          {"SAOLA_WEB_SERVICE_HOST", "10.0.0.2"},
                          {"SAOLA_WEB_PORT_53_UDP_ADDR", "10.0.0.2"}}),
            loaded(kApp));
  EXPECT_THAT(problems(kApp, {{"SAOLA_PORT", "8443"}}),
              ElementsAre(StartsWith("SAOLA_PORT: no setting has this name")));
}

TEST(Environment, NamesTheVariableThatIsWrong) {
  const std::vector<std::pair<std::pair<std::string, std::string>, std::string>> table{
      {{"SAOLA_APP_WORKER", "4"},
       "SAOLA_APP_WORKER: no setting has this name; did you mean SAOLA_APP_WORKERS?"},
      {{"SAOLA_BANANA_SPLIT", "4"}, "SAOLA_BANANA_SPLIT: no setting has this name"},
      {{"SAOLA_", "4"}, "SAOLA_: no setting has this name"},
      {{"SAOLA_APP_ENV_", "4"},
       "SAOLA_APP_ENV_: no setting has this name; did you mean SAOLA_APP_VENV?"},
      {{"SAOLA_LISTEN_1_ADDRESS", ":80"},
       "SAOLA_LISTEN_1_ADDRESS: no setting has this name; did you mean SAOLA_LISTEN_0_ADDRESS?"},
      {{"SAOLA_APP_WORKERS", ""},
       "SAOLA_APP_WORKERS: 'workers' in [app] must be \"auto\", a number from 1 to 1024 or "
       "{ min = A, max = B } with two such numbers, not ''"},
      {{"SAOLA_APP_THREADS", "4x"},
       "SAOLA_APP_THREADS: 'threads' in [app] must be a number from 1 to 1024, not '4x'"},
      {{"SAOLA_APP_FACTORY", "maybe"},
       "SAOLA_APP_FACTORY: 'factory' in [app] must be true or false, not 'maybe'"},
      {{"SAOLA_APP_VENV", "\xff"},
       "SAOLA_APP_VENV: 'venv' in [app] must be a path: '\\xff' is not UTF-8 text without NUL"},
      {{"SAOLA_EDGE_PROCESSES", "2"},
       "SAOLA_EDGE_PROCESSES: 'processes' in [edge] is not supported yet: there would be one edge "
       "process"},
      {{"SAOLA_LISTEN_0_FORWARDED", "rfc7239"},
       "SAOLA_LISTEN_0_FORWARDED: 'forwarded' in [[listen]] needs 'trusted': the networks of the "
       "proxies that are believed"},
      {{"SAOLA_LISTEN_0_TLS_KEY", "k"},
       "SAOLA_LISTEN_0_TLS_KEY: 'key' in [listen.tls] needs a 'certificate'"}};
  for (const auto& [variable, problem] : table) {
    EXPECT_THAT(problems(kApp, {variable}), ElementsAre(problem)) << variable.first;
  }
}

TEST(Override, StandsOverEverything) {
  Config config = loaded(kApp, {{"SAOLA_APP_WORKERS", "4"}});
  EXPECT_EQ(apply_override(config, "app.workers", "8"), std::nullopt);
  EXPECT_EQ(apply_override(config, "app.env.DOTTED.NAME", "x"), std::nullopt);
  EXPECT_EQ(apply_override(config, "listen.0.tls.certificate", "c.pem"), std::nullopt);
  EXPECT_EQ(apply_override(config, "listen.0.certificates.0.key", "k.pem"), std::nullopt);
  EXPECT_EQ(apply_override(config, "listen.1.address", "unix:a.sock"), std::nullopt);
  EXPECT_EQ(apply_override(config, "apps.web.target", "web:app"), std::nullopt);
  EXPECT_EQ(config.apps.at("app").workers, 8);
  EXPECT_EQ(config.apps.at("app").env.at("DOTTED.NAME"), "x");
  EXPECT_THAT(config.listen.at(0).tls->certificates,
              ElementsAre(Certificate{"c.pem", "k.pem", ""}));
  EXPECT_EQ(config.listen.at(1).address, "unix:a.sock");
  EXPECT_EQ(config.apps.at("web").target, "web:app");
}

TEST(Override, ThatIsWrongChangesNothingAndSaysWhy) {
  const Config before = loaded(kApp);
  const std::vector<std::pair<std::string, std::string>> table{
      {"app.worker", "unknown key 'worker' in [app]; did you mean 'workers'?"},
      {"ap.workers", "unknown key 'ap' at the top level; did you mean 'app'?"},
      {"app", "[app] is a table; name one of its keys"},
      {"", "the top level is a table; name one of its keys"},
      {"app.workers.x", "'workers' in [app] is not a table"},
      {"app.env", "'env' in [app] cannot have the variable name ''"},
      {"app.threads", "'threads' in [app] must be a number from 1 to 1024, not 'x'"},
      {"apps.a b.target", "'a b' cannot name an application"},
      {"listen.5.address", "there is no listen.5: [[listen]] are numbered from 0, and there are 1"},
      {"listen.x.address", "there is no listen.x: [[listen]] are numbered from 0, and there are 1"},
      {"listen.1.address",
       "'address' in [[listen]] must be an address: 'x' has no port; write "
       "127.0.0.1:8000, [::1]:8000, :8000, unix:PATH, fd:N or systemd:NAME"},
      {"listen.0.tls.client_ca",
       "'client_ca' in [listen.tls] is not supported yet: client certificates would not be "
       "checked"}};
  for (const auto& [key, message] : table) {
    Config config = before;
    const auto problem = apply_override(config, key, "x");
    ASSERT_TRUE(problem) << key;
    EXPECT_EQ(problem->where, key);
    EXPECT_EQ(problem->message, message);
    EXPECT_EQ(config, before) << key;
  }
}

}  // namespace
}  // namespace saola::config
