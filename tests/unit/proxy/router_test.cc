#include "proxy/router.h"

#include <gtest/gtest.h>

namespace saola::proxy {
namespace {

config::Config two_apps(std::vector<config::Route> routes) {
  config::Config config;
  config.apps["shop"].target = "shop:app";
  config.apps["api"].target = "api:app";
  config.routes = std::move(routes);
  return config;
}

config::Route route(std::string host, std::string path, std::string app) {
  config::Route r;
  r.host = std::move(host);
  r.path = std::move(path);
  r.app = std::move(app);
  return r;
}

TEST(Router, SendsEverythingToTheOnlyAppWithoutRoutes) {
  config::Config config;
  config.apps["app"].target = "app:app";
  const Router router(config);
  const auto match = router.match("any", "/x");
  EXPECT_EQ(match.app, "app");
  EXPECT_EQ(match.route, nullptr);
}

TEST(Router, TakesTheFirstMatch) {
  const auto config = two_apps({route("", "/api/", "api"), route("", "/", "shop")});
  const Router router(config);
  EXPECT_EQ(router.match("a", "/api/x").app, "api");
  EXPECT_EQ(router.match("a", "/api/").app, "api");
  EXPECT_EQ(router.match("a", "/api").app, "shop");
  EXPECT_EQ(router.match("a", "/apix").app, "shop");
  EXPECT_EQ(router.match("a", "/").app, "shop");
}

TEST(Router, MatchesAPathWithoutSlashAtItsEndExactly) {
  const auto config = two_apps({route("", "/health", "api")});
  const Router router(config);
  EXPECT_EQ(router.match("a", "/health").app, "api");
  for (const auto* path : {"/health/", "/healthy", "/Health", "/x/health"}) {
    const auto match = router.match("a", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.app, "") << path;
  }
}

TEST(Router, MatchesHostsInAnyCaseAndBelowAWildcard) {
  const auto config =
      two_apps({route("api.example.com", "/", "api"), route("*.example.com", "/", "shop")});
  const Router router(config);
  EXPECT_EQ(router.match("API.Example.COM", "/").app, "api");
  EXPECT_EQ(router.match("api.example.com.", "/").app, "api");
  EXPECT_EQ(router.match("www.example.com", "/").app, "shop");
  EXPECT_EQ(router.match("a.b.EXAMPLE.com", "/").app, "shop");
  for (const auto* host :
       {"example.com", ".example.com", "badexample.com", "example.com.evil", ""}) {
    EXPECT_EQ(router.match(host, "/").app, "") << host;
  }
}

TEST(Router, FallsBackToTheOnlyAppInARouteThatNamesNone) {
  config::Config config;
  config.apps["app"].target = "app:app";
  config.routes = {route("", "/x/", "")};
  const Router router(config);
  EXPECT_EQ(router.match("a", "/x/y").app, "app");
  EXPECT_EQ(router.match("a", "/y").app, "");
}

TEST(Router, GivesTheStrippedPrefixWithoutItsSlash) {
  auto mounted = route("", "/api/", "api");
  mounted.strip_prefix = true;
  auto root = route("", "/", "shop");
  root.strip_prefix = true;
  const auto config = two_apps({mounted, root});
  const Router router(config);
  EXPECT_EQ(router.match("a", "/api/x").root_path, "/api");
  EXPECT_EQ(router.match("a", "/y").root_path, "");
}

TEST(Router, DoesNotMountAPathThatLeavesItsPrefixAgain) {
  auto mounted = route("", "/api/", "api");
  mounted.strip_prefix = true;
  const auto config = two_apps({mounted, route("", "/", "shop")});
  const Router router(config);
  EXPECT_EQ(router.match("a", "/api/../admin").app, "shop");
  EXPECT_EQ(router.match("a", "/api/x/../y").app, "api");
}

TEST(Router, ARedirectHasNoApp) {
  auto redirect = route("", "/old/", "");
  redirect.redirect = "https://{host}/new{uri}";
  const auto config = two_apps({redirect});
  const Router router(config);
  const auto match = router.match("a", "/old/x");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->redirect_status, 308);
  EXPECT_EQ(match.app, "");
}

TEST(Router, WritesLocations) {
  EXPECT_EQ(redirect_location("https://{host}{uri}", "a.example", "/x?y"), "https://a.example/x?y");
  EXPECT_EQ(redirect_location("/fixed", "h", "/u"), "/fixed");
  EXPECT_EQ(redirect_location("{uri}{uri}{other}{", "h", "/u"), "/u/u{other}{");
  // What a client sends is not a pattern itself.
  EXPECT_EQ(redirect_location("/{uri}", "h", "/{host}"), "//{host}");
}

}  // namespace
}  // namespace saola::proxy
