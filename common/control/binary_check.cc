#include "common/control/binary_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "common/control/exit_status.h"
#include "common/control/upgrade_handover.h"
#include "common/ipc/control_message.h"

namespace saola::control {
namespace {

constexpr std::size_t kMaxOutput = 64 * 1024;

// posix_spawn's two records of what the child does before exec.
struct Preparation {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  Preparation() {
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_init(&files);
  }
  ~Preparation() {
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
  }
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;
};

}  // namespace

BinaryCheck::BinaryCheck(EventLoop& loop, Launcher& launcher)
    : loop_(loop), launcher_(launcher), timer_(loop, on_timeout, this) {}

BinaryCheck::~BinaryCheck() { watcher_.reset(); }

void BinaryCheck::check(const UpgradeState& state, const std::vector<std::string>& arguments,
                        Done done) {
  said_.clear();
  timed_out_ = false;
  if (auto started = start(state, arguments); !started) {
    return done(Unexpected{std::move(started).error()});
  }
  done_ = std::move(done);
}

Result<void> BinaryCheck::start(const UpgradeState& state,
                                const std::vector<std::string>& arguments) {
  const std::string& path = state.binary_path;
  binary_.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!binary_) return Unexpected{system_error(path, errno)};
  const auto file = ipc::make_memory_file(to_json(state));
  if (!file) return Unexpected{file.error()};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Unexpected{system_error("pipe", errno)};
  output_.reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);

  std::vector<std::string> words = arguments;
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  environment.push_back(fmt::format("{}=check:{}", Handover::kVariable, file->get()));
  std::vector<char*> argv;
  std::vector<char*> envp;
  argv.reserve(words.size() + 1);
  envp.reserve(environment.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  for (auto& entry : environment) envp.push_back(entry.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  Preparation plan;
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&plan.attributes, &signals);
  ::sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&plan.attributes, &signals);
  ::posix_spawnattr_setpgroup(&plan.attributes, 0);
  ::posix_spawnattr_setflags(
      &plan.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  ::posix_spawn_file_actions_adddup2(&plan.files, theirs.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&plan.files, theirs.get(), STDERR_FILENO);
  // To itself: it is no longer closed on exec.
  ::posix_spawn_file_actions_adddup2(&plan.files, file->get(), file->get());
  // The file that was opened, not what the path names a moment later.
  const std::string opened = fmt::format("/proc/self/fd/{}", binary_.get());
  const int error =
      ::posix_spawn(&pid_, opened.c_str(), &plan.files, &plan.attributes, argv.data(), envp.data());
  if (error != 0) return Unexpected{system_error("execute " + path, error)};
  if (auto adopted = launcher_.adopt(pid_, [this](int status) { exited(status); }); !adopted) {
    return adopted;
  }
  watcher_ = std::make_unique<IoWatcher>(loop_, output_.get(), on_output, this);
  watcher_->watch(IoWatcher::kRead);
  timer_.start(kTimeout);
  return {};
}

void BinaryCheck::on_output(void* self, short) { static_cast<BinaryCheck*>(self)->read_output(); }

void BinaryCheck::on_timeout(void* self) {
  auto& check = *static_cast<BinaryCheck*>(self);
  check.timed_out_ = true;
  check.launcher_.send_signal(check.pid_, SIGKILL);
}

void BinaryCheck::read_output() {
  std::array<char, 4096> block{};
  for (;;) {
    const ssize_t got = ::read(output_.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return watcher_->watch(0);
    said_.append(block.data(), static_cast<std::size_t>(got));
    // The end counts: what it says last.
    if (said_.size() > kMaxOutput) said_.erase(0, said_.size() - kMaxOutput / 2);
  }
}

void BinaryCheck::exited(int wait_status) {
  timer_.cancel();
  read_output();
  watcher_.reset();
  const Done done = std::move(done_);
  if (wait_status == 0 && said_.ends_with(Handover::can_take_over())) {
    return done(std::move(binary_));
  }
  while (said_.ends_with('\n')) said_.pop_back();
  std::string why = timed_out_ ? fmt::format("it did not answer within {} s", kTimeout.count())
                               : fmt::format("it cannot take over: {}", describe_exit(wait_status));
  if (wait_status == 0 && !timed_out_) why = "it is no Saola that knows this kind of upgrade";
  if (!said_.empty()) why += "\n" + said_;
  done(fail(std::move(why)));
}

}  // namespace saola::control
