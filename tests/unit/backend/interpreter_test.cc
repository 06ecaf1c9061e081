// How the embedded Python is set up: prefix, virtual environment, paths, environment.
#include "backend/interpreter.h"

#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "backend/py_handles.h"
#include "child_process.h"
#include "tests/support/temporary_directory.h"

namespace saola::backend {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class InterpreterTest : public testing::Test {
 protected:
  InterpreterTest() {
    ::unsetenv("VIRTUAL_ENV");
    options_.directory = directory_.path();
  }
  // What `code` prints in a new interpreter, or why there is none.
  std::string run(
      const std::string& code, const std::function<void()>& before = [] {}) {
    test::ChildProcess child([&] {
      before();
      auto interpreter = Interpreter::start(options_);
      if (!interpreter) {
        std::fputs(("cannot start: " + interpreter.error().message).c_str(), stdout);
        return 9;
      }
      return PyRun_SimpleString(code.c_str());
    });
    child.wait();
    return child.output();
  }
  // A virtual environment as `python3 -m venv` lays it out.
  std::string make_venv(const std::string& version, const std::string& system_packages = "false",
                        const std::string& key = "version") {
    const std::string lib = "venv/lib/python" + Interpreter::version() + "/site-packages/";
    directory_.write("venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = " +
                                            system_packages + "\n" + key + " = " + version + "\n");
    directory_.write(lib + "in_venv.py", "where = 'venv'\n");
    directory_.write(lib + "more.pth", directory_.path("elsewhere") + "\n");
    directory_.write("elsewhere/by_pth.py", "where = 'pth'\n");
    std::filesystem::create_directories(directory_.path("venv/bin"));
    std::filesystem::create_symlink(SAOLA_PYTHON_PROGRAM, directory_.path("venv/bin/python"));
    return directory_.path("venv");
  }

  saola::test::TemporaryDirectory directory_;
  InterpreterOptions options_;
};

TEST_F(InterpreterTest, WithoutAVenvIsThePythonItWasBuiltWith) {
  EXPECT_EQ(run("import sys, json, _ctypes; print(sys.prefix, sys.base_prefix, sys.executable)"),
            SAOLA_PYTHON_HOME " " SAOLA_PYTHON_HOME " " SAOLA_PYTHON_PROGRAM "\n");
}

TEST_F(InterpreterTest, DoesNotTakeTheFirstPythonOnPath) {
  const auto trap = directory_.write("bin/python3", "#!/bin/sh\nexit 1\n");
  std::filesystem::permissions(trap, std::filesystem::perms::owner_all);
  directory_.write("lib/python" + Interpreter::version() + "/os.py", "raise SystemExit(7)\n");
  const auto before = [&] {
    ::setenv("PATH", directory_.path("bin").c_str(), 1);
    ::setenv("PYTHONHOME", directory_.path().c_str(), 1);
  };
  EXPECT_EQ(run("import sys, os; print(sys.prefix, os.__file__.startswith(sys.prefix))", before),
            SAOLA_PYTHON_HOME " True\n");
}

TEST_F(InterpreterTest, UsesTheVenvAsItsOwnPythonWould) {
  options_.venv = make_venv(Interpreter::version() + ".4");
  EXPECT_EQ(run("import sys, in_venv, by_pth; print(in_venv.where, by_pth.where)\n"
                "print(sys.prefix, sys.exec_prefix, sys.base_prefix, sys.executable)\n"
                "print(any('dist-packages' in entry for entry in sys.path))"),
            "venv pth\n" + options_.venv + " " + options_.venv + " " SAOLA_PYTHON_HOME " " +
                options_.venv + "/bin/python\nFalse\n");
}

TEST_F(InterpreterTest, AChildPythonOfAVenvIsTheVenvsToo) {
  options_.venv = make_venv(Interpreter::version() + ".4");
  EXPECT_EQ(run("import subprocess, sys\n"
                "subprocess.run([sys.executable, '-c', 'import in_venv; print(in_venv.where)'])"),
            "venv\n");
}

TEST_F(InterpreterTest, AVenvMayIncludeTheSystemsPackages) {
  options_.venv = make_venv(Interpreter::version() + ".4", "true", "version_info");
  EXPECT_EQ(run("import sys; print(any(entry.startswith(sys.base_prefix + '/l') and "
                "'-packages' in entry for entry in sys.path))"),
            "True\n");
}

TEST_F(InterpreterTest, TheActiveVenvIsUsedUnlessOneIsConfigured) {
  const auto venv = make_venv(Interpreter::version() + ".4");
  EXPECT_EQ(run("import sys; print(sys.prefix)", [&] { ::setenv("VIRTUAL_ENV", venv.c_str(), 1); }),
            venv + "\n");
  options_.venv = venv;
  EXPECT_EQ(
      run("import sys; print(sys.prefix)", [] { ::setenv("VIRTUAL_ENV", "/no/such/venv", 1); }),
      venv + "\n");
}

TEST_F(InterpreterTest, AVenvOfAnotherMinorVersionIsAnErrorThatNamesBoth) {
  options_.venv = make_venv("3.9.18");
  EXPECT_THAT(run(""), AllOf(StartsWith("cannot start"), HasSubstr(options_.venv),
                             HasSubstr("made for Python 3.9"),
                             HasSubstr("contains Python " + Interpreter::version())));
}

TEST_F(InterpreterTest, ADirectoryThatIsNoVenvIsAnError) {
  options_.venv = directory_.path();
  EXPECT_THAT(run(""), HasSubstr("is not a virtual environment: it has no pyvenv.cfg"));
}

TEST_F(InterpreterTest, DirectoryAndPythonpathComeFirst) {
  options_.pythonpath = {"/one", "/two"};
  EXPECT_EQ(
      run("import os, sys; print(sys.path[:3], os.getcwd(), sys.argv)"),
      "['" + options_.directory + "', '/one', '/two'] " + options_.directory + " ['saola']\n");
}

TEST_F(InterpreterTest, AMissingDirectoryIsAnError) {
  options_.directory = "/no/such/directory";
  EXPECT_THAT(run(""), HasSubstr("/no/such/directory: No such file or directory"));
}

TEST_F(InterpreterTest, TheEnvironmentIsSetBeforePythonReadsIt) {
  config::App app;
  app.env = {{"PYTHONHASHSEED", "0"}, {"GREETING", "hello"}};
  EXPECT_EQ(run("import os, sys; print(sys.flags.hash_randomization, os.environ['GREETING'])",
                [&] { ASSERT_TRUE(apply_environment(app)); }),
            "0 hello\n");
}

TEST_F(InterpreterTest, LeavesTheWorkersSignalsAlone) {
  EXPECT_EQ(run("import signal as s; print(s.getsignal(s.SIGINT) == s.SIG_IGN)",
                [] { std::signal(SIGINT, SIG_IGN); }),
            "True\n");
}

TEST_F(InterpreterTest, TextIsUtf8) {
  EXPECT_EQ(run("import sys; print(sys.getfilesystemencoding())",
                [] { ::setenv("LC_ALL", "C.UTF-8", 1); }),
            "utf-8\n");
}

TEST_F(InterpreterTest, ExitHandlersRunAtTheEnd) {
  EXPECT_EQ(run("import atexit; atexit.register(print, 'bye')"), "bye\n");
}

TEST(InterpreterOptions, PathsAreRelativeToTheConfiguration) {
  config::App app;
  app.directory = "site/../app";
  app.pythonpath = {"lib", "/abs"};
  app.venv = ".venv";
  const auto options = interpreter_options(app, "/etc/saola");
  EXPECT_EQ(options.directory, "/etc/saola/app");
  EXPECT_EQ(options.pythonpath, (std::vector<std::string>{"/etc/saola/lib", "/abs"}));
  EXPECT_EQ(options.venv, "/etc/saola/.venv");
}

}  // namespace
}  // namespace saola::backend
