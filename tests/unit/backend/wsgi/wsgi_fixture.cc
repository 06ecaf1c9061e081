#include "wsgi_fixture.h"

#include <thread>

#include "backend/channel_helper.h"

namespace saola::backend::wsgi {

void WsgiTest::SetUp() { test::CapturedLog::instance().clear(); }

void WsgiTest::serve(std::string_view source, const EdgePart& edge_part) {
  // As in a worker: the streams are there before the application is imported.
  edge_ = std::make_unique<FakeEdge>(window_);
  channel_ = std::make_unique<RequestChannel>(edge_->take_socket(), edge_->take_claims());
  const Logger logger(test::CapturedLog::instance(), "worker", LogLevel::kDebug);
  app_log_ = std::make_unique<AppLog>(logger);
  const auto installed = app_log_->install();
  ASSERT_TRUE(installed) << installed.error().message;
  auto module = run_embedded("application", source);
  ASSERT_TRUE(module) << module.error().message;
  module_ = *std::move(module);
  const auto application = steal(PyObject_GetAttrString(module_.ptr(), "app"));
  ASSERT_TRUE(application) << take_traceback();
  auto host = make_wsgi_host({*channel_, app_, *app_log_, logger, application});
  const auto started = host->start();
  ASSERT_TRUE(started) << started.error().message;
  const ChannelHelper helper(*channel_, nullptr, {});
  std::thread player([&] {
    edge_part(*edge_);
    channel_->begin_drain();
  });
  host->serve();
  player.join();
  host->shutdown();
  host.reset();
  EXPECT_EQ(channel_->in_flight(), 0U);
  EXPECT_EQ(PyErr_Occurred(), nullptr);
  app_log_.reset();
}

FakeResponse WsgiTest::get(std::string_view source, const FakeRequest& request,
                           std::string_view body) {
  FakeResponse response;
  serve(source, [&](FakeEdge& edge) { response = edge.exchange(request, body); });
  return response;
}

FakeEdge& WsgiTest::reconnect() {
  next_edge_ = std::make_unique<FakeEdge>(window_);
  channel_->reconnect(next_edge_->take_socket(), next_edge_->take_claims());
  return *next_edge_;
}

std::string WsgiTest::evaluate(const char* expression) const {
  PyObject* names = PyModule_GetDict(module_.ptr());
  const auto value = steal(PyRun_String(expression, Py_eval_input, names, names));
  return value ? to_text(value.ptr()) : take_traceback();
}

std::string header(const FakeResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "(none)";
}

std::string show_environ(std::string_view names) {
  return R"(
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ")" +
         std::string(names) + R"(".split()
    return ["".join(f"{name}={environ.get(name, '(none)')!r}\n" for name in names).encode()]
)";
}

}  // namespace saola::backend::wsgi
