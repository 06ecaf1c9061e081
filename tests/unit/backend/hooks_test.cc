// What hooks get and how their failures end; tests/integration/test_hooks.py shows where they run.
#include "backend/hooks.h"

#include <gmock/gmock.h>

#include "python_environment.h"
#include "tests/support/temporary_directory.h"

namespace saola::backend {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

// Long enough for a thread to be scheduled, and for a test that fails to end.
constexpr milliseconds kPatience{20000};

class HooksTest : public testing::Test {
 protected:
  HooksTest() {
    test::CapturedLog::instance().clear();
    SAOLA_CHECK(app_log_.install().has_value());
    PyObject* path = PySys_GetObject("path");
    const auto entry = steal(PyUnicode_FromString(directory_.path().c_str()));
    SAOLA_CHECK(PyList_Insert(path, 0, entry.ptr()) == 0);
  }
  ~HooksTest() override {
    hooks_.reset();
    SAOLA_CHECK(PySequence_DelItem(PySys_GetObject("path"), 0) == 0);
  }

  // Each test has a module of its own name: imports stay.
  Result<void> load(std::string_view source, const Logger& log) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    app_.hooks = std::string("hooks_of_") + info->name();
    directory_.write(app_.hooks + ".py", source);
    auto loaded = Hooks::load(app_, 3, app_log_, log);
    if (!loaded) return Unexpected{loaded.error()};
    hooks_ = *std::move(loaded);
    return {};
  }
  Result<void> load(std::string_view source) { return load(source, log_); }
  static std::string log() { return test::CapturedLog::instance().text(); }

  saola::test::TemporaryDirectory directory_;
  Logger log_{test::CapturedLog::instance(), "worker", LogLevel::kInfo};
  AppLog app_log_{Logger(test::CapturedLog::instance(), "app", LogLevel::kDebug)};
  config::App app_;
  std::unique_ptr<Hooks> hooks_;
};

TEST_F(HooksTest, WithoutAModuleThereIsNothing) {
  const auto loaded = Hooks::load(app_, 1, app_log_, log_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(*loaded, nullptr);
  EXPECT_TRUE(Hooks::check(app_));
}

TEST_F(HooksTest, RequestsPayOnlyForTheirOwnHooks) {
  ASSERT_TRUE(load("def post_fork(server, worker): pass\n"));
  EXPECT_FALSE(hooks_->around_requests());
  EXPECT_TRUE(hooks_->abort(milliseconds(0)));  // there is none
}

TEST_F(HooksTest, LogsAsLoggersDo) {
  ASSERT_TRUE(load(R"(
def post_fork(server, worker):
    worker.log.debug("not %s", "shown")
    worker.log.info("%d%% of %s", 50, "it")
    server.log.warning("careful: %(what)s", {"what": "steep"})
    worker.log.error("100%")
    try: 1 / 0
    except ZeroDivisionError: worker.log.exception("caught")
)"));
  ASSERT_TRUE(hooks_->boot());
  EXPECT_THAT(log(), Not(HasSubstr("shown")));
  EXPECT_THAT(log(), HasSubstr("info app"));
  EXPECT_THAT(log(), HasSubstr(": 50% of it\n"));
  EXPECT_THAT(log(), HasSubstr(": careful: steep\n"));
  EXPECT_THAT(log(), HasSubstr(": 100%\n"));
  EXPECT_THAT(log(), HasSubstr("ZeroDivisionError: division by zero"));
}

TEST_F(HooksTest, SaysWhatAnObjectDoesNotHave) {
  ASSERT_TRUE(load("def post_fork(server, worker): server.WORKERS\n"));
  const auto booted = hooks_->boot();
  ASSERT_FALSE(booted);
  EXPECT_THAT(booted.error().message, HasSubstr("Saola's server object has no 'WORKERS'"));
}

TEST_F(HooksTest, ARequestIsDescribedAsGunicornDoes) {
  ASSERT_TRUE(load(R"(
def pre_request(worker, req):
    worker.log.info("%s|%s|%s|%s|%s", req.method, req.uri, req.query, req.version, req.headers)
def post_request(worker, req, environ, resp):
    worker.log.info("%s|%s|%s|%s", environ, resp.status, resp.status_code, resp.sent)
)"));
  ASSERT_TRUE(hooks_->around_requests());
  ipc::RequestView request;
  request.meta.method = ipc::Method::kOther;
  request.meta.method_text = "BREW";
  request.meta.version = ipc::HttpVersion::k2;
  request.meta.raw_path = "/pot";
  request.meta.path = "/pot";
  request.meta.query = "x=1";
  request.fields = {{0, "accept-additions", "caf\xe9"}};
  const auto environ = steal(PyDict_New());
  const auto made = hooks_->begin(request, environ.ptr());
  ASSERT_TRUE(made);
  EXPECT_THAT(log(), HasSubstr("BREW|/pot?x=1|x=1|(2, 0)|[('ACCEPT-ADDITIONS', 'caf\xc3\xa9')]"));
  hooks_->end(made.ptr(), 418, "", 3);
  EXPECT_THAT(log(), HasSubstr("{}|418 I'm a Teapot|418|3"));
  hooks_->end(made.ptr(), 299, "Made Up", 3);
  EXPECT_THAT(log(), HasSubstr("{}|299 Made Up|299|3"));
  hooks_->end(made.ptr(), 0, "", 0);
  EXPECT_THAT(log(), HasSubstr("{}|None|None|0"));
  EXPECT_EQ(PyErr_Occurred(), nullptr);
}

TEST_F(HooksTest, WorkerAbortDoesNotWaitForEver) {
  ASSERT_TRUE(load("def worker_abort(worker): worker.log.info('aborted')\n"));
  // As in a worker: the caller is no thread of Python's, and the application has the GIL.
  EXPECT_FALSE(hooks_->abort(milliseconds(10)));
  {
    const GilRelease released;
    EXPECT_TRUE(hooks_->abort(kPatience));
  }
  EXPECT_THAT(log(), HasSubstr("aborted"));
}

TEST_F(HooksTest, ALogThatIsKeptIsSilentAtTheEnd) {
  ASSERT_TRUE(
      load("kept = None\ndef post_fork(server, worker):\n  global kept\n  kept = worker\n"));
  ASSERT_TRUE(hooks_->boot());
  hooks_.reset();
  const auto module = steal(PyImport_ImportModule(app_.hooks.c_str()));
  const auto worker = steal(PyObject_GetAttrString(module.ptr(), "kept"));
  const auto logger = steal(PyObject_GetAttrString(worker.ptr(), "log"));
  EXPECT_TRUE(steal(PyObject_CallMethod(logger.ptr(), "info", "s", "too late")));
  EXPECT_THAT(log(), Not(HasSubstr("too late")));
}

}  // namespace
}  // namespace saola::backend
