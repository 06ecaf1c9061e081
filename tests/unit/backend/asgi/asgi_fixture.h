// AsgiTest: an application given as Python source, the ASGI host that serves it on this thread, and
// a test that plays the edge on another.
//
//   serve(R"(async def app(scope, receive, send): ...)", [](FakeEdge& edge) { ... });
//
// Each test runs on asyncio's loop and on uvloop; without uvloop the latter is skipped, visibly.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "backend/app_host.h"
#include "backend/app_log.h"
#include "fake_edge.h"
#include "tests/unit/backend/python_environment.h"

namespace saola::backend::asgi {

class AsgiTest : public testing::TestWithParam<config::AsyncLoop> {
 protected:
  using EdgePart = std::function<void(FakeEdge&)>;

  void SetUp() override;

  // Boots the application, runs `edge_part` in a thread while it serves, drains and shuts down.
  void serve(std::string_view source, const EdgePart& edge_part);
  // Boots the application only; the error, or an empty string if it booted (it is shut down then).
  std::string boot(std::string_view source);

  // A variable of the application's module as text, after serve() or boot().
  std::string variable(const char* name) const;
  // An item of a list there.
  std::string item(const char* name, std::size_t index) const;
  // A Python expression there.
  std::string evaluate(const char* expression) const;
  std::string log() const { return test::CapturedLog::instance().text(); }
  RequestChannel& channel() { return *channel_; }
  // A new edge in the place of the last one, for edge parts. The last one hangs up, if it has not.
  FakeEdge& reconnect();

  config::App app_;  // set before serve()
  std::uint32_t window_ = ipc::kResponseWindow;
  std::chrono::milliseconds graceful_timeout_{std::chrono::seconds(20)};
  std::function<void()> boot_hook_ = [] {};  // what the application's stop() calls

 private:
  Result<std::unique_ptr<AppHost>> make_host(std::string_view source);

  std::unique_ptr<FakeEdge> edge_, next_edge_;
  std::unique_ptr<RequestChannel> channel_;
  std::unique_ptr<AppLog> app_log_;
  py::object module_;
};

}  // namespace saola::backend::asgi
