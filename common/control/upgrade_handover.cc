#include "common/control/upgrade_handover.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "common/config/config_loader.h"
#include "common/ipc/control_message.h"

namespace saola::control {
namespace {

namespace fs = std::filesystem;

UniqueFd duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

Result<UniqueFd> duplicate(int fd, const char* what) {
  UniqueFd copy = duplicate(fd);
  if (!copy) return Unexpected{system_error(std::string("inherited ") + what, errno)};
  return copy;
}

void close_on_exec(const std::vector<int>& fds, bool close) {
  for (const int fd : fds) {
    if (fd > STDERR_FILENO) ::fcntl(fd, F_SETFD, close ? FD_CLOEXEC : 0);
  }
}

Error execute(int binary, const std::vector<std::string>& arguments, const std::string& text,
              std::vector<int> keep) {
  const auto file = ipc::make_memory_file(text);
  if (!file) return file.error();
  keep.push_back(file->get());

  std::vector<std::string> words = arguments;
  std::vector<std::string> environment;
  const std::string variable = std::string(Handover::kVariable) + "=";
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with(variable)) environment.emplace_back(*entry);
  }
  environment.push_back(variable + std::to_string(file->get()));
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> all;
    all.reserve(strings.size() + 1);
    for (auto& string : strings) all.push_back(string.data());
    all.push_back(nullptr);
    return all;
  };
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(environment);

  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  close_on_exec(keep, false);
  ::syscall(SYS_execveat, binary, "", argv.data(), envp.data(), AT_EMPTY_PATH);
  const int reason = errno;
  close_on_exec(keep, true);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return system_error("execute the binary", reason);
}

bool is_running_binary(const std::string& path) {
  struct stat named {};
  struct stat running {};
  return ::stat(path.c_str(), &named) == 0 && ::stat("/proc/self/exe", &running) == 0 &&
         named.st_dev == running.st_dev && named.st_ino == running.st_ino;
}

}  // namespace

const std::string& Handover::can_take_over() {
  static const std::string words =
      fmt::format("saola: can take over from state version {}\n", UpgradeState::kVersion);
  return words;
}

Result<std::optional<Handover>> Handover::receive() {
  const char* value = std::getenv(kVariable);
  if (value == nullptr) return std::optional<Handover>();
  const std::string copy(value);
  ::unsetenv(kVariable);
  std::string_view digits = copy;
  Handover handover;
  constexpr std::string_view kCheck = "check:";
  handover.only_asked_ = digits.starts_with(kCheck);
  if (handover.only_asked_) digits.remove_prefix(kCheck.size());
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), handover.file_);
  if (error != std::errc() || end != digits.data() + digits.size() ||
      handover.file_ <= STDERR_FILENO) {
    return fail(fmt::format("{} is set by the supervisor only; unset it", kVariable));
  }
  const auto file = duplicate(handover.file_, "upgrade state");
  if (!file) return Unexpected{file.error()};
  auto text = ipc::read_memory_file(*file);
  if (!text) return Unexpected{std::move(text).error()};
  handover.text_ = *std::move(text);
  auto state = parse_upgrade_state(handover.text_);
  if (!state) return Unexpected{std::move(state).error()};
  handover.state_ = *std::move(state);
  return std::optional<Handover>(std::move(handover));
}

ListenSockets Handover::listeners() const {
  std::vector<std::shared_ptr<ListenSockets::Socket>> sockets;
  for (const auto& listener : state_.listeners) {
    auto socket = std::make_shared<ListenSockets::Socket>();
    socket->fd = duplicate(listener.fd);
    socket->address = listener.address;
    socket->ipv6_only = listener.ipv6_only;
    socket->path = listener.path;
    socket->device = static_cast<dev_t>(listener.device);
    socket->inode = static_cast<ino_t>(listener.inode);
    socket->inherited = listener.inherited;
    sockets.push_back(std::move(socket));
  }
  return ListenSockets::adopt(std::move(sockets));
}

std::vector<InstanceLock> Handover::locks() const {
  std::vector<InstanceLock> locks;
  for (const auto& lock : state_.locks) {
    locks.push_back(InstanceLock::adopt(lock.path, duplicate(lock.fd)));
  }
  return locks;
}

Result<config::Config> Handover::config() const {
  const auto file = duplicate(state_.service.worker_start, "configuration");
  if (!file) return Unexpected{file.error()};
  const auto text = ipc::read_memory_file(*file);
  if (!text) return Unexpected{text.error()};
  const auto start = ipc::parse_worker_start(*text);
  if (!start) return Unexpected{start.error()};
  auto config = config::load_config({start->config_dir + "/saola.toml", start->config_toml, {}});
  if (!config) {
    return fail("the configuration of the service: " + config::to_string(config.error().front()));
  }
  config->path = state_.service.config_path;
  return *std::move(config);
}

Result<std::shared_ptr<Generation>> Handover::generation(const Credentials& owner) const {
  auto served = config();
  if (!served) return Unexpected{std::move(served).error()};
  auto made = std::make_shared<Generation>();
  const auto& service = state_.service;
  made->number = service.generation;
  made->config = *std::move(served);
  const ListenSockets before = listeners();
  auto sockets = ListenSockets::open(made->config, owner, &before);
  if (!sockets) return fail(sockets.error().front());
  made->sockets = *std::move(sockets);
  made->edge_start = duplicate(service.edge_start);
  made->worker_start = duplicate(service.worker_start);
  made->logs.error = duplicate(service.error_log);
  if (service.access_log >= 0) made->logs.access = duplicate(service.access_log);
  if (!made->edge_start || !made->worker_start || !made->logs.error ||
      made->logs.access.valid() != (service.access_log >= 0)) {
    return Unexpected{system_error("inherited descriptors", errno)};
  }
  make_admin(*made, owner, &before, made->warnings);  // without it the service goes on as well
  return made;
}

void Handover::settle() {
  if (std::exchange(settled_, true)) return;
  // fd:N is the listener's: ListenSockets closes it when it goes out of use.
  const auto is_listeners = [this](int fd) {
    return std::any_of(state_.listeners.begin(), state_.listeners.end(),
                       [fd](const auto& listener) { return listener.inherited == fd; });
  };
  for (const int fd : state_.descriptors) {
    if (fd > STDERR_FILENO && !is_listeners(fd)) ::close(fd);
  }
  ::close(file_);
}

int Handover::give_back(const std::vector<std::string>& arguments, const std::string& failure,
                        int exit_code) const {
  const auto text = with_failure(text_, failure.empty() ? "the new binary did not start" : failure);
  const Error error =
      text ? execute(state_.binary, arguments, *text, state_.descriptors) : text.error();
  std::fprintf(stderr, "saola: the old binary cannot be started again: %s\n",
               error.message.c_str());
  return exit_code;
}

void Handover::hold_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

void Handover::accept_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

Error hand_over(const UniqueFd& binary, const std::vector<std::string>& arguments,
                const UpgradeState& state) {
  const std::string text = to_json(state);
  const auto read_back = parse_upgrade_state(text);
  if (!read_back) return read_back.error();
  return execute(binary.get(), arguments, text, read_back->descriptors);
}

std::string find_installed_binary(const std::string& program) {
  std::error_code ignored;  // what cannot be looked at is not it
  if (program.find('/') != std::string::npos) {
    std::string path = fs::absolute(program, ignored).string();
    if (is_running_binary(path)) return path;
  } else if (const char* search = std::getenv("PATH"); search != nullptr && !program.empty()) {
    std::string_view rest = search;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(':'), rest.size());
      const fs::path path = fs::path(rest.substr(0, end)) / program;
      if (path.is_absolute() && is_running_binary(path)) return path.string();
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return fs::read_symlink("/proc/self/exe", ignored).string();
}

}  // namespace saola::control
