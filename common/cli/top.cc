#include "common/cli/top.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <ostream>
#include <utility>

#include "common/cli/status_view.h"

namespace saola::cli {
namespace {

constexpr std::chrono::seconds kRefresh{1};
constexpr char kControlC = 3;

volatile std::sig_atomic_t ended_by_signal = 0;
void note_signal(int) { ended_by_signal = 1; }

// The alternate screen without cursor, and keys one by one; back to what it was at the end.
class Screen {
 public:
  explicit Screen(std::ostream& out) : out_(out) {
    has_modes_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (has_modes_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    struct sigaction action {};
    action.sa_handler = note_signal;
    for (const int number : {SIGTERM, SIGHUP, SIGINT}) ::sigaction(number, &action, nullptr);
    out_ << "\x1b[?1049h\x1b[?25l";
  }
  ~Screen() {
    out_ << "\x1b[?25h\x1b[?1049l" << std::flush;
    if (has_modes_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static ScreenSize size() {
    winsize window{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return {};
    return {window.ws_col, window.ws_row};
  }

  // Line by line, so that nothing flickers.
  void show(std::string_view text) {
    out_ << "\x1b[H";
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      out_ << text.substr(0, end) << "\x1b[K";
      if (end == std::string_view::npos) break;
      out_ << "\r\n";
      text.remove_prefix(end + 1);
    }
    out_ << "\x1b[J" << std::flush;
  }

 private:
  std::ostream& out_;
  termios before_{};
  bool has_modes_ = false;
};

Result<Sample> look(ControlClient& client) {
  auto status = client.ask(ipc::StatusRequest{});
  if (!status) return Unexpected{status.error()};
  Sample sample{std::chrono::steady_clock::now(), status->status.value_or(ipc::Status()), {}};
  auto requests = client.ask(ipc::RequestsRequest{});
  if (requests) {
    sample.report = std::move(requests->requests);
  } else if (requests.error().code != 0) {
    return Unexpected{requests.error()};
  }  // else the server itself said no: there is no edge at this moment
  return sample;
}

// True: the user wants to end. Returns at the next refresh, or earlier with a key or a new size.
bool wait_for_key(std::chrono::steady_clock::time_point until) {
  for (;;) {
    if (ended_by_signal != 0) return true;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd keyboard{STDIN_FILENO, POLLIN, 0};
    const int ready = ::poll(&keyboard, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return true;
    if (ready <= 0) continue;
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) <= 0) return true;  // the terminal has gone
    if (key == 'q' || key == 'Q' || key == kControlC) return true;
  }
}

}  // namespace

Result<void> run_top(ControlClient& client, const Invocation& invocation) {
  auto now = look(client);
  if (!now) return Unexpected{now.error()};
  if (!invocation.is_terminal) {
    *invocation.out << render_status(now->status, now->report ? &*now->report : nullptr);
    return {};
  }
  std::optional<Sample> before;
  Screen screen(*invocation.out);
  for (;;) {
    screen.show(render_top(before ? &*before : nullptr, *now, Screen::size()));
    if (wait_for_key(now->at + kRefresh)) return {};
    auto next = look(client);
    if (!next) return Unexpected{next.error()};
    before = *std::move(now);
    now = std::move(next);
  }
}

}  // namespace saola::cli
