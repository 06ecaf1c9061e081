#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/core/log_outlet.h"

namespace saola {
namespace {

enum class Kind : std::uint8_t { kRegular, kSocket, kNonBlocking, kPolled };

// Where the piece of whole lines at the start of `bytes` ends. A line longer than a piece is one.
std::size_t piece_length(std::string_view bytes) {
  if (bytes.size() <= PIPE_BUF) return bytes.size();
  std::size_t end = bytes.rfind('\n', PIPE_BUF - 1);
  if (end == std::string_view::npos) end = bytes.find('\n');
  return end == std::string_view::npos ? bytes.size() : end + 1;
}

class FileOutlet final : public LogOutlet {
 public:
  explicit FileOutlet(UniqueFd file) : file_(std::move(file)) {
    struct stat facts {};
    if (::fstat(file_.get(), &facts) != 0) return;
    if (S_ISREG(facts.st_mode)) {
      kind_ = Kind::kRegular;
    } else if (S_ISSOCK(facts.st_mode)) {
      kind_ = Kind::kSocket;
    } else if (S_ISFIFO(facts.st_mode) || ::isatty(file_.get()) != 0) {
      open_again();
    }
  }

  Outcome write(std::string_view bytes) override {
    if (kind_ == Kind::kPolled && !wait(std::chrono::milliseconds(0))) return {0, State::kFull};
    const ssize_t n = put(bytes);
    if (n > 0) return {static_cast<std::size_t>(n), State::kOk};
    if (n < 0 && errno == EINTR) return {0, State::kOk};
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {0, State::kFull};
    return {0, State::kDown};
  }

  bool wait(std::chrono::milliseconds limit) override {
    pollfd room{file_.get(), POLLOUT, 0};
    // POLLERR and POLLHUP count as ready: write(2) then says what is wrong.
    return ::poll(&room, 1, static_cast<int>(limit.count())) > 0;
  }

 private:
  // Fails where the pipe is another user's, or has no reader any more.
  void open_again() {
    UniqueFd again(::open(fmt::format("/proc/self/fd/{}", file_.get()).c_str(),
                          O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    if (!again) return;
    file_ = std::move(again);
    kind_ = Kind::kNonBlocking;
  }

  ssize_t put(std::string_view bytes) const {
    if (kind_ == Kind::kRegular) return ::write(file_.get(), bytes.data(), bytes.size());
    std::size_t length = piece_length(bytes);
    if (kind_ == Kind::kSocket) {
      return ::send(file_.get(), bytes.data(), length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    // poll(2) promised room for PIPE_BUF bytes, not for a line that is longer.
    if (kind_ == Kind::kPolled && length > PIPE_BUF) length = PIPE_BUF;
    return ::write(file_.get(), bytes.data(), length);
  }

  UniqueFd file_;
  Kind kind_ = Kind::kPolled;
};

}  // namespace

std::unique_ptr<LogOutlet> make_file_outlet(UniqueFd file) {
  return std::make_unique<FileOutlet>(std::move(file));
}

}  // namespace saola
