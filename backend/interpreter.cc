#include "backend/interpreter.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "backend/py_handles.h"

namespace saola::backend {
namespace {

namespace fs = std::filesystem;

// Of the Python that was linked: see CMakeLists.txt.
constexpr const char* kProgram = SAOLA_PYTHON_PROGRAM;
constexpr const char* kHome = SAOLA_PYTHON_HOME;

std::string absolute(const std::string& path, const std::string& base) {
  const fs::path given(path);
  return (given.is_absolute() ? given : fs::path(base) / given).lexically_normal().string();
}

std::string trimmed(const std::string& text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == std::string::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

// The "version" (venv) or "version_info" (virtualenv) of pyvenv.cfg; empty if it has none.
std::string venv_version(std::istream& file) {
  for (std::string line; std::getline(file, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const auto key = trimmed(line.substr(0, equals));
    if (key == "version" || key == "version_info") return trimmed(line.substr(equals + 1));
  }
  return {};
}

std::string minor_of(const std::string& version) {
  const auto first = version.find('.');
  const auto second = version.find('.', first == std::string::npos ? first : first + 1);
  return version.substr(0, second);
}

// The python of a virtual environment, which `site` recognises the environment by.
Result<std::string> venv_program(const std::string& venv) {
  std::ifstream file(fs::path(venv) / "pyvenv.cfg");
  if (!file) {
    return fail("venv \"" + venv + "\" is not a virtual environment: it has no pyvenv.cfg", ENOENT);
  }
  const std::string version = venv_version(file);
  const std::string embedded = Interpreter::version();
  if (!version.empty() && minor_of(version) != embedded) {
    return fail("venv \"" + venv + "\" is made for Python " + minor_of(version) +
                ", but this binary contains Python " + embedded +
                ": make the venv anew with python" + embedded);
  }
  const auto packages = fs::path(venv) / "lib" / ("python" + embedded) / "site-packages";
  std::error_code ignored;
  if (version.empty() && !fs::is_directory(packages, ignored)) {
    return fail("venv \"" + venv + "\" has no " + packages.string() +
                ": this binary contains Python " + embedded);
  }
  return (fs::path(venv) / "bin" / "python").string();
}

Unexpected<Error> init_failure(const PyStatus& status) {
  std::string message = "Python cannot start";
  if (status.func != nullptr) message += std::string(" (") + status.func + ")";
  if (status.err_msg != nullptr) message += std::string(": ") + status.err_msg;
  return fail(std::move(message));
}

// Frees a PyConfig on every way out.
struct Config {
  PyConfig value;
  Config() { PyConfig_InitPythonConfig(&value); }
  ~Config() { PyConfig_Clear(&value); }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  PyStatus set(wchar_t** field, const std::string& text) {
    return PyConfig_SetBytesString(&value, field, text.c_str());
  }
};

Result<void> initialize(const std::string& program) {
  PyPreConfig pre;
  PyPreConfig_InitPythonConfig(&pre);
  pre.parse_argv = 0;
  if (const auto status = Py_PreInitialize(&pre); PyStatus_Exception(status) != 0) {
    return init_failure(status);
  }
  Config config;
  config.value.install_signal_handlers = 0;
  config.value.parse_argv = 0;
  config.value.pathconfig_warnings = 0;
  char name[] = "saola";
  char* argv[] = {name};
  PyStatus status = PyConfig_SetBytesArgv(&config.value, 1, argv);
  // With a home, the path configuration looks at nothing else; with an executable, `site` finds the
  // pyvenv.cfg beside it.
  const auto set = [&](wchar_t** field, const std::string& text) {
    if (PyStatus_Exception(status) == 0) status = config.set(field, text);
  };
  set(&config.value.program_name, kProgram);
  set(&config.value.home, kHome);
  set(&config.value.executable, program);
  set(&config.value.base_executable, kProgram);
  if (PyStatus_Exception(status) == 0) status = Py_InitializeFromConfig(&config.value);
  if (PyStatus_Exception(status) != 0) return init_failure(status);
  return {};
}

Result<void> extend_path(const InterpreterOptions& options) {
  PyObject* path = PySys_GetObject("path");  // borrowed
  if (path == nullptr || PyList_Check(path) == 0) return fail("sys.path is not a list");
  Py_ssize_t at = 0;
  const auto insert = [&](const std::string& entry) {
    const auto text = steal(PyUnicode_DecodeFSDefault(entry.c_str()));
    return text && PyList_Insert(path, at++, text.ptr()) == 0;
  };
  bool done = insert(options.directory);
  for (const auto& entry : options.pythonpath) done = done && insert(entry);
  if (!done) return python_failure();
  return {};
}

}  // namespace

InterpreterOptions interpreter_options(const config::App& app,
                                       const std::string& config_directory) {
  InterpreterOptions options;
  options.directory = absolute(app.directory, config_directory);
  for (const auto& entry : app.pythonpath) {
    options.pythonpath.push_back(absolute(entry, config_directory));
  }
  if (!app.venv.empty()) options.venv = absolute(app.venv, config_directory);
  return options;
}

Result<void> apply_environment(const config::App& app) {
  for (const auto& [name, value] : app.env) {
    if (::setenv(name.c_str(), value.c_str(), 1) != 0) {
      return Unexpected{system_error("set " + name + " of [app] env", errno)};
    }
  }
  return {};
}

std::string Interpreter::version() {
  return std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
}

Result<Interpreter> Interpreter::start(const InterpreterOptions& options) {
  if (::chdir(options.directory.c_str()) != 0) {
    return Unexpected{
        system_error("change to the application's directory " + options.directory, errno)};
  }
  std::string venv = options.venv;
  if (venv.empty()) {
    const char* active = std::getenv("VIRTUAL_ENV");
    if (active != nullptr) venv = active;
  }
  std::string program = kProgram;
  if (!venv.empty()) {
    auto found = venv_program(venv);
    if (!found) return Unexpected{found.error()};
    program = *found;
  }
  if (auto started = initialize(program); !started) return Unexpected{started.error()};
  Interpreter interpreter;
  if (auto extended = extend_path(options); !extended) return Unexpected{extended.error()};
  return interpreter;
}

Interpreter::~Interpreter() {
  if (running_) Py_FinalizeEx();
}

}  // namespace saola::backend
