// Interpreter: owns the one embedded CPython of this process, set up explicitly.
//
// Left alone, an embedded interpreter takes its prefix from the first `python3` on PATH, which may
// be another one. So program, home and executable are set: those of the Python that the binary was
// built with, and on top of them a virtual environment as its pyvenv.cfg says (the `site` module
// does that work, with .pth files and include-system-site-packages, as it does under the venv's own
// python). Python installs no signal handlers. PYTHON... environment variables other than
// PYTHONHOME mean what they mean to `python3`. sys.argv is ["saola"].
//
// Created on the main thread, which then holds the GIL. Everything Python is destroyed before it.
#pragma once

#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/core/result.h"

namespace saola::backend {

struct InterpreterOptions {
  std::string directory;                // absolute; working directory and first in sys.path
  std::vector<std::string> pythonpath;  // follows it; absolute
  std::string venv;                     // absolute; empty: VIRTUAL_ENV, or none
};
// Paths of `app` made absolute against `config_directory`.
InterpreterOptions interpreter_options(const config::App& app, const std::string& config_directory);

// Puts [app] env into the environment of the process, before Python reads it.
Result<void> apply_environment(const config::App& app);

class Interpreter {
 public:
  // Changes the working directory. Fails if it cannot, or if the venv is none or of another minor
  // version than the embedded Python; the message names both.
  static Result<Interpreter> start(const InterpreterOptions& options);

  Interpreter(Interpreter&& other) noexcept : running_(std::exchange(other.running_, false)) {}
  Interpreter& operator=(Interpreter&&) = delete;
  // Runs atexit handlers and waits for non-daemon threads, as `python3` does at its end. GIL held.
  ~Interpreter();

  // "3.11": of the Python that is linked into this binary.
  static std::string version();

 private:
  Interpreter() = default;
  bool running_ = true;
};

}  // namespace saola::backend
