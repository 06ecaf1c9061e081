#include "backend/worker_main.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "backend/app_loader.h"
#include "backend/hooks.h"
#include "backend/interpreter.h"
#include "backend/worker.h"
#include "backend/zygote.h"

namespace saola::backend {
namespace {

constexpr int kExitApplication = 3;

// In a process of its own: an interpreter cannot be started twice, and apps have their own venvs.
int import_app(const config::App& app, const std::string& directory) {
  auto interpreter = apply_environment(app)
                         ? Interpreter::start(interpreter_options(app, directory))
                         : Result<Interpreter>(fail("[app] env cannot be set"));
  if (!interpreter) {
    std::fprintf(stderr, "%s\n", interpreter.error().message.c_str());
    return kExitApplication;
  }
  if (const auto hooks = Hooks::check(app); !hooks) {
    std::fprintf(stderr, "%s\n", hooks.error().message.c_str());
    return kExitApplication;
  }
  const auto loaded = load_app(app);
  if (loaded) return 0;
  std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
  return kExitApplication;
}

int import_in_child(const config::App& app, const std::string& directory) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int code = import_app(app, directory);
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    std::perror("saola: import");
    return kExitApplication;
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  std::fprintf(stderr, "importing \"%s\" ended by signal %d\n", app.target.c_str(),
               WTERMSIG(status));
  return kExitApplication;
}

// When memory runs out the kernel takes a worker, which is replaced, before the edge or the
// supervisor. Raising the own score needs no right; where it cannot be, nothing is lost.
void offer_to_oom_killer() {
  constexpr int kMore = 300;
  constexpr int kMost = 1000;
  constexpr const char* kPath = "/proc/self/oom_score_adj";
  int score = 0;
  std::ifstream(kPath) >> score;
  std::ofstream(kPath) << std::min(score + kMore, kMost);
}

}  // namespace

int run_worker(int control_fd) {
  ::prctl(PR_SET_NAME, "saola");
  offer_to_oom_killer();
  const int code = Worker(ipc::ControlChannel(UniqueFd(control_fd))).run();
#if defined(__SANITIZE_ADDRESS__)
  // CPython keeps what it allocated for its types and interned strings; the leak check at exit
  // would report it, so this role leaves without.
  std::fflush(nullptr);
  ::_exit(code);
#endif
  return code;
}

int run_zygote(int control_fd, std::span<char> title) {
  ::prctl(PR_SET_NAME, "saola");
  offer_to_oom_killer();  // its workers inherit it
  int code = 0;
  {
    Zygote zygote(UniqueFd(control_fd), title);
    code = zygote.run();
    if (!zygote.is_worker()) ::_exit(code);  // no finalization: see zygote.h
  }
#if defined(__SANITIZE_ADDRESS__)
  std::fflush(nullptr);  // as in run_worker()
  ::_exit(code);
#endif
  return code;
}

int check_import(const config::Config& config) {
  int code = 0;
  for (const auto& [name, app] : config.apps) {
    const int result = import_in_child(app, config.directory);
    if (result != 0) code = kExitApplication;
  }
  return code;
}

}  // namespace saola::backend
