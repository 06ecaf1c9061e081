#include "asgi_fixture.h"

#include <pybind11/eval.h>
#include <pybind11/functional.h>

#include <thread>

namespace saola::backend::asgi {
namespace {

bool has_uvloop() {
  const py::object module = steal(PyImport_ImportModule("uvloop"));
  if (!module) PyErr_Clear();
  return static_cast<bool>(module);
}

}  // namespace

void AsgiTest::SetUp() {
  test::CapturedLog::instance().clear();
  app_.loop = GetParam();
  if (GetParam() == config::AsyncLoop::kUvloop && !has_uvloop()) {
    GTEST_SKIP() << "uvloop cannot be imported; set VIRTUAL_ENV to an environment that has it";
  }
}

Result<std::unique_ptr<AppHost>> AsgiTest::make_host(std::string_view source) {
  auto module = run_embedded("application", source);
  if (!module) return fail(module.error().message);
  module_ = *std::move(module);
  module_.attr("stop") = py::cpp_function([this] { boot_hook_(); });
  edge_ = std::make_unique<FakeEdge>(window_);
  channel_ = std::make_unique<RequestChannel>(edge_->take_socket(), edge_->take_claims());
  const Logger logger(test::CapturedLog::instance(), "worker", LogLevel::kDebug);
  app_log_ = std::make_unique<AppLog>(logger);
  if (Result<void> installed = app_log_->install(); !installed) {
    return fail(installed.error().message);
  }
  auto host = make_asgi_host({*channel_, app_, *app_log_, logger, module_.attr("app")});
  return host;
}

void AsgiTest::serve(std::string_view source, const EdgePart& edge_part) {
  auto host = make_host(source);
  ASSERT_TRUE(host) << host.error().message;
  const Result<void> started = (*host)->start();
  ASSERT_TRUE(started) << started.error().message;
  std::thread player([&] {
    edge_part(*edge_);
    channel_->begin_drain(std::chrono::steady_clock::now() + graceful_timeout_);
  });
  (*host)->serve();
  (*host)->shutdown();
  player.join();
  host->reset();
  EXPECT_EQ(channel_->in_flight(), 0U);
  app_log_.reset();
}

std::string AsgiTest::boot(std::string_view source) {
  auto host = make_host(source);
  if (!host) return host.error().message;
  const Result<void> started = (*host)->start();
  if (started) {
    channel_->begin_drain(std::chrono::steady_clock::now() + graceful_timeout_);
    (*host)->serve();
    (*host)->shutdown();
  }
  host->reset();
  app_log_.reset();
  return started ? std::string() : started.error().message;
}

std::string AsgiTest::variable(const char* name) const { return to_text(module_.attr(name).ptr()); }

FakeEdge& AsgiTest::reconnect() {
  next_edge_ = std::make_unique<FakeEdge>(window_);
  channel_->reconnect(next_edge_->take_socket(), next_edge_->take_claims());
  return *next_edge_;
}

std::string AsgiTest::evaluate(const char* expression) const {
  const auto value = py_border([&]() -> Result<std::string> {
    return to_text(py::eval(expression, module_.attr("__dict__")).ptr());
  });
  return value ? *value : value.error().message;
}

std::string AsgiTest::item(const char* name, std::size_t index) const {
  const py::object value =
      steal(PySequence_GetItem(module_.attr(name).ptr(), static_cast<Py_ssize_t>(index)));
  if (value) return to_text(value.ptr());
  PyErr_Clear();
  return "(no such item)";
}

}  // namespace saola::backend::asgi
