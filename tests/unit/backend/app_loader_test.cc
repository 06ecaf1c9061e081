// Which object a target names, what it is taken for, and what is said when it cannot be found.
#include "backend/app_loader.h"

#include <gmock/gmock.h>

#include "tests/support/temporary_directory.h"

namespace saola::backend {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Modules are written to a directory in sys.path; each has a name of its own, since Python keeps
// them.
class AppLoaderTest : public testing::Test {
 protected:
  AppLoaderTest() {
    PyObject* path = PySys_GetObject("path");
    PyList_Insert(path, 0, steal(PyUnicode_FromString(directory_.path().c_str())).ptr());
  }
  ~AppLoaderTest() override { PyList_SetSlice(PySys_GetObject("path"), 0, 1, nullptr); }

  // Writes `source` as a new module and loads "<module><rest>".
  Result<LoadedApp> load(std::string_view source, std::string_view rest = ":app") {
    return load_target(write(source) + std::string(rest));
  }
  Result<LoadedApp> load_target(const std::string& target) {
    app_.target = target;
    return load_app(app_);
  }
  std::string write(std::string_view source) {
    static int count = 0;
    const std::string name = "loaded_" + std::to_string(++count);
    directory_.write(name + ".py", source);
    return name;
  }
  // "wsgi", "asgi" or the error.
  std::string kind(std::string_view source, std::string_view rest = ":app") {
    const auto loaded = load(source, rest);
    return loaded ? interface_name(loaded->interface) : loaded.error().message;
  }

  saola::test::TemporaryDirectory directory_;
  config::App app_;
};

TEST_F(AppLoaderTest, TellsWsgiFromAsgi) {
  struct Case {
    const char* source;
    const char* kind;
  };
  const Case cases[] = {
      {"def app(environ, start_response): pass", "wsgi"},
      {"class A:\n def __call__(self, environ, start_response): pass\napp = A()", "wsgi"},
      {"class A:\n def __init__(self, environ, start_response): pass\n def __iter__(self): "
       "pass\napp = A",
       "wsgi"},
      {"app = lambda *args: []", "wsgi"},
      {"async def app(scope, receive, send): pass", "asgi"},
      {"class A:\n async def __call__(self, scope, receive, send): pass\napp = A()", "asgi"},
      {"class A:\n async def run(self, scope, receive, send): pass\napp = A().run", "asgi"},
      {"import functools\nasync def f(x, scope, receive, send): pass\napp = functools.partial(f, "
       "1)",
       "asgi"},
      {"import functools\ndef f(x, environ, start_response): pass\napp = functools.partial(f, 1)",
       "wsgi"},
      {"import functools\nasync def f(scope, receive, send): pass\n@functools.wraps(f)\ndef "
       "app(*args): return f(*args)",
       "asgi"},
      {"def f(scope, receive, send): pass\napp = lambda scope, receive, send: f(scope, receive, "
       "send)",
       "asgi"},
      {"import asyncio.coroutines\ndef app(scope, receive, send): pass\n"
       "app._is_coroutine = asyncio.coroutines._is_coroutine",
       "asgi"},
      {"def app(scope):\n async def run(receive, send): pass\n return run", "asgi"},
      {"class app:\n def __init__(self, scope): pass\n async def __call__(self, receive, send): "
       "pass",
       "asgi"},
  };
  for (const auto& one : cases) EXPECT_EQ(kind(one.source), one.kind) << one.source;
}

TEST_F(AppLoaderTest, TheConfiguredInterfaceDecides) {
  app_.interface = config::Interface::kAsgi;
  EXPECT_EQ(kind("def app(*args): pass"), "asgi");
  app_.interface = config::Interface::kWsgi;
  EXPECT_EQ(kind("async def app(*args): pass"), "wsgi");
}

TEST_F(AppLoaderTest, AnAsgi2ApplicationIsCalledTwice) {
  const auto loaded = load(R"(
seen = []
class app:
    def __init__(self, scope): self.scope = scope
    async def __call__(self, receive, send): seen.append((self.scope, receive, send))
)");
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto coroutine =
      steal(PyObject_CallFunction(loaded->application.ptr(), "sss", "scope", "receive", "send"));
  ASSERT_TRUE(coroutine) << take_traceback();
  EXPECT_FALSE(steal(PyObject_CallMethod(coroutine.ptr(), "send", "O", Py_None)));
  EXPECT_NE(PyErr_ExceptionMatches(PyExc_StopIteration), 0);
  PyErr_Clear();
  const auto module =
      steal(PyImport_ImportModule(app_.target.substr(0, app_.target.find(':')).c_str()));
  EXPECT_EQ(to_text(steal(PyObject_GetAttrString(module.ptr(), "seen")).ptr()),
            "[('scope', 'receive', 'send')]");
}

TEST_F(AppLoaderTest, FindsTheAttributeInEverySpelling) {
  constexpr std::string_view kSource = R"(
class Site:
    class inner:
        @staticmethod
        def app(environ, start_response): pass
def make(name="x", *, debug=False, **rest):
    def made(environ, start_response): pass
    made.seen = (name, debug, rest)
    return made
def application(environ, start_response): pass
)";
  EXPECT_EQ(kind(kSource, ":Site.inner.app"), "wsgi");
  EXPECT_EQ(kind(kSource, ""), "wsgi");
  EXPECT_EQ(kind(kSource, ":make()"), "wsgi");
  EXPECT_EQ(kind("def app(environ, start_response): pass", ""), "wsgi");
  const auto loaded = load(kSource, ":make('site', debug=True, limits=[1, {'a': None}])");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(to_text(steal(PyObject_GetAttrString(loaded->application.ptr(), "seen")).ptr()),
            "('site', True, {'limits': [1, {'a': None}]})");
  app_.factory = true;
  EXPECT_EQ(kind(kSource, ":make"), "wsgi");
}

TEST_F(AppLoaderTest, SaysWhatIsWrongWithATarget) {
  constexpr std::string_view kSource = R"(
application = 7
nothing = None
def make(name): return application
def make_none(): return None
async def make_async(): return None
def one(environ): yield
def four(a, b, c, d): pass
def run(): return application
)";
  struct Case {
    const char* rest;
    const char* message;
  };
  const Case cases[] = {
      {":aplication", "has no attribute 'aplication'; did you mean 'application'?"},
      {":application.wsgi", "has no attribute 'wsgi'"},
      {":nothing", "is not callable: it is None"},
      {":application", "is not callable: it is a int"},
      {":application()", "is to be called, but it is a int"},
      {":make()", "cannot be called so: missing a required argument: 'name'"},
      {":make_none()", "is not callable: it is None"},
      {":make_async()", "is a coroutine function; it must return the application"},
      {":make(name)", "arguments must be literals"},
      {":make(**{})", "arguments must be literals"},
      {":make()()", "only names, dots and one call are understood"},
      {":make[0]", "only names, dots and one call are understood"},
      {":a b", "cannot read 'a b'"},
      {":", "names no attribute after ':'"},
      {":four", "takes 4 arguments"},
      {":run", "is it a factory? then write 'module:name()'"},
  };
  for (const auto& one : cases) {
    const auto loaded = load(kSource, one.rest);
    ASSERT_FALSE(loaded) << one.rest;
    EXPECT_THAT(loaded.error().message, AllOf(HasSubstr(one.message), HasSubstr("cannot load"),
                                              Not(HasSubstr("Traceback"))))
        << one.rest;
  }
  EXPECT_THAT(load("x = 1", "").error().message, HasSubstr("neither 'application' nor 'app'"));
  EXPECT_THAT(load_target(":app").error().message, HasSubstr("names no module"));
}

TEST_F(AppLoaderTest, TellsAMissingTargetFromAMissingImport) {
  EXPECT_THAT(load_target("no_such_module:app").error().message,
              AllOf(HasSubstr("there is no module 'no_such_module'"), HasSubstr(directory_.path()),
                    Not(HasSubstr("Traceback"))));
  EXPECT_THAT(load_target("no_such_package.inner:app").error().message,
              HasSubstr("there is no module 'no_such_package'"));
  const auto missing = load("import no_such_library\n");
  EXPECT_THAT(missing.error().message,
              AllOf(HasSubstr("Traceback"), HasSubstr("import no_such_library"),
                    HasSubstr("ModuleNotFoundError: No module named 'no_such_library'")));
}

TEST_F(AppLoaderTest, AnExceptionOfTheApplicationComesWithItsWholeTraceback) {
  EXPECT_THAT(load("def deep(): raise KeyError('lost')\ndeep()\n").error().message,
              AllOf(HasSubstr("in deep"), HasSubstr("KeyError: 'lost'")));
  EXPECT_THAT(load("def (:").error().message, HasSubstr("SyntaxError"));
  EXPECT_THAT(load("raise SystemExit('bye')").error().message, HasSubstr("SystemExit: bye"));
  EXPECT_THAT(load("def app(): return {}['x']", ":app()").error().message,
              HasSubstr("KeyError: 'x'"));
}

}  // namespace
}  // namespace saola::backend
