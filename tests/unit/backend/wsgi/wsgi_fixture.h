// WsgiTest: an application given as Python source, the WSGI host that serves it on this thread, and
// a test that plays the edge on another.
//
//   serve(R"(def app(environ, start_response): ...)", [](FakeEdge& edge) { ... });
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "../asgi/fake_edge.h"
#include "../python_environment.h"
#include "backend/app_host.h"

namespace saola::backend::wsgi {

using asgi::FakeEdge;
using asgi::FakeRequest;
using asgi::FakeResponse;

class WsgiTest : public testing::Test {
 protected:
  using EdgePart = std::function<void(FakeEdge&)>;

  void SetUp() override;

  // Boots the application (`app` of the source), runs `edge_part` in a thread while it serves,
  // drains.
  void serve(std::string_view source, const EdgePart& edge_part);
  // One request, one answer.
  FakeResponse get(std::string_view source, const FakeRequest& request = {},
                   std::string_view body = {});
  // A Python expression in the application's module, as text, after serve().
  std::string evaluate(const char* expression) const;
  std::string log() const { return test::CapturedLog::instance().text(); }
  RequestChannel& channel() { return *channel_; }
  // A new edge in the place of the last one, for edge parts. The last one hangs up, if it has not.
  FakeEdge& reconnect();

  config::App app_;  // set before serve()
  std::uint32_t window_ = ipc::kResponseWindow;

 private:
  std::unique_ptr<FakeEdge> edge_, next_edge_;
  std::unique_ptr<RequestChannel> channel_;
  std::unique_ptr<AppLog> app_log_;
  py::object module_;
};

// The value of a header, or "(none)".
std::string header(const FakeResponse& response, std::string_view name);

// Writes the named environ values, one repr per line.
std::string show_environ(std::string_view names);

}  // namespace saola::backend::wsgi
