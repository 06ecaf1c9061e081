#include "common/control/runtime_files.h"

#include <sys/stat.h>

#include <cstdlib>
#include <utility>

#include "common/config/paths.h"

namespace saola::control {

RuntimeFiles::RuntimeFiles(EventLoop& loop, const Logger& log, ControlCommands& commands,
                           const config::Config& config, std::vector<InstanceLock>& locks)
    : loop_(loop),
      log_(log),
      commands_(commands),
      config_(config),
      locks_(locks),
      socket_(open_socket(false)),
      has_socket_(socket_ != nullptr),
      timer_(
          loop,
          [](void* self) {
            auto& files = *static_cast<RuntimeFiles*>(self);
            files.timer_.start(kLook);
            files.look();
          },
          this) {
  timer_.start(kLook);
}

void RuntimeFiles::make_runtime_directory(const config::Config& config) {
  const auto& directory = config.server.runtime_dir;
  if (!directory.empty()) ::mkdir(config::resolve_path(config, directory).c_str(), 0755);
}

void RuntimeFiles::look() {
  for (auto& lock : locks_) look_after(lock);
  look_after_socket();
}

void RuntimeFiles::look_after(InstanceLock& lock) {
  if (lock.is_there()) return;
  const std::string path = lock.path();
  const bool told = cannot_be_made_.contains(path);
  make_runtime_directory(config_);
  // The old file is nobody's any more: it keeps its lock until the new one has taken its place.
  auto again = InstanceLock::acquire(path);
  if (again) {
    lock = *std::move(again);
    cannot_be_made_.erase(path);
    return log_.warning("the pid file {} had gone; it is there again", path);
  }
  if (told) return;
  cannot_be_made_.insert(path);
  log_.warning("the pid file {} has gone and cannot be made anew: {}", path, again.error().message);
}

std::unique_ptr<ControlSocket> RuntimeFiles::open_socket(bool quietly) {
  const char* xdg = std::getenv("XDG_RUNTIME_DIR");
  return ControlSocket::open_configured(loop_, log_, commands_, config_, xdg != nullptr ? xdg : "",
                                        quietly);
}

void RuntimeFiles::look_after_socket() {
  if (!has_socket_ || (socket_ && socket_->is_reachable())) return;
  // Its clients are cut off too: what they asked for goes on.
  const bool lost_now = socket_ != nullptr;
  const std::string path = lost_now ? socket_->path() : "";
  socket_.reset();
  make_runtime_directory(config_);
  socket_ = open_socket(!lost_now);
  if (socket_)
    return log_.warning("the control socket {} had gone; it is there again", socket_->path());
  if (lost_now) log_.warning("the control socket {} has gone; commands find no server", path);
}

}  // namespace saola::control
