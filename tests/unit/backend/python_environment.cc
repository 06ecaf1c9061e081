#include "python_environment.h"

#include <gtest/gtest.h>

#include <memory>

#include "backend/interpreter.h"

// CPython keeps what it allocated for its types and interned strings until the process ends.
extern "C" const char* __asan_default_options();  // NOLINT: the sanitizer's name
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {  // NOLINT
  return "detect_leaks=0";
}

namespace saola::backend::test {
namespace {

class PythonEnvironment final : public testing::Environment {
 public:
  void SetUp() override {
    auto started = Interpreter::start({.directory = "/", .pythonpath = {}, .venv = {}});
    ASSERT_TRUE(started) << started.error().message;
    interpreter_ = std::make_unique<Interpreter>(*std::move(started));
  }
  void TearDown() override { interpreter_.reset(); }

 private:
  std::unique_ptr<Interpreter> interpreter_;
};

const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new PythonEnvironment);

}  // namespace

CapturedLog& CapturedLog::instance() {
  static auto* const log = new CapturedLog;
  return *log;
}

void CapturedLog::write_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  text_ += line;
}

std::string CapturedLog::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

void CapturedLog::clear() {
  const std::lock_guard lock(mutex_);
  text_.clear();
}

}  // namespace saola::backend::test
