// What the supervisor's children say, and what they write into the scoreboard, in any order and at
// any moment: the supervisor lives, and still ends when it is told to stop.
//
// The input is a script, a line per step. Its first byte chooses the configuration (kPreload ...);
// then, `N` being a digit:
//
//   eTEXT wNTEXT zTEXT mTEXT   the edge, the N-th worker, the zygote, the admin process sends this
//   E.. W.. Z.. M..            the same, with descriptors
//   xN xe xz xm                the worker, edge, zygote or admin process is killed
//   cN ce cz cm                it closes its channel
//   bTEXT                  this is written over the whole scoreboard, again and again
//   a                      the process that a Born message named exists
//   r R s k d i y u l      reload, reload that fails, scale, fewer, stacks, inspect, recycle,
//                          upgrade, logs
//   S                      stop
#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>

#include "common/control/supervision.h"
#include "tests/support/fake_launcher.h"

namespace saola::control {
namespace {

using test::FakeChild;

enum Choice : unsigned {
  kPreload = 1,
  kSeveralWorkers = 2,
  kServing = 4,  // begin when everything is ready
  kRecycling = 8,
  kReadyPath = 16,
  kAdmin = 32,
};

class NoSink final : public LogSink {
 public:
  void write_line(std::string_view) override {}
};

class Play final : private SupervisionHost {
 public:
  explicit Play(unsigned choice) : choice_(choice) {
    SupervisionHost& host = *this;
    supervision_.emplace(loop_, launcher_, log_, report_, memory_, make(1), host);
    supervision_->start();
    turn();
    if ((choice & kServing) == 0) return;
    say("edge", 0, ipc::to_json(ipc::Ready{}));
    turn();
    say("zygote", 0, ipc::to_json(ipc::Ready{}));
    turn();
    for (std::size_t i = 0; i < 3; ++i) say("worker", i, ipc::to_json(ipc::Ready{"wsgi", 1}));
    turn();
  }

  void step(std::string_view line) {
    if (line.empty()) return;
    const char what = line.front();
    line.remove_prefix(1);
    const bool with_fds = what == 'E' || what == 'W' || what == 'Z' || what == 'M';
    switch (what) {
      case 'e':
      case 'E':
        say("edge", 0, line, with_fds);
        break;
      case 'z':
      case 'Z':
        say("zygote", 0, line, with_fds);
        break;
      case 'm':
      case 'M':
        say("admin", 0, line, with_fds);
        break;
      case 'w':
      case 'W':
        if (line.size() > 1) say("worker", index_of(line.front()), line.substr(1), with_fds);
        break;
      case 'x':
        if (auto* child = named(line)) child->exit(SIGKILL);
        break;
      case 'c':
        if (auto* child = named(line)) child->close_channel();
        break;
      case 'b':
        scribble(line);
        break;
      case 'a':
        if (!launcher_.adopted.contains(4711)) launcher_.adoptable.insert(4711);
        break;
      default:
        command(what);
    }
    turn();
  }

  // Nothing that was said may keep it from this.
  void end() {
    supervision_->begin_stop("the end");
    supervision_->begin_stop("the end, at once");
    turn();
    // What an end brings may be another child's beginning, but not for ever.
    for (int round = 0; round < 100 && anybody_lives(); ++round) {
      for (std::size_t i = 0; i < launcher_.children.size(); ++i) {
        if (launcher_.children[i]->alive) launcher_.children[i]->exit(0);
      }
      for (const auto& [pid, on_exit] : std::exchange(launcher_.adopted, {})) on_exit(0);
      turn();
    }
    SAOLA_CHECK(!anybody_lives());
    supervision_->run();
  }

 private:
  bool anybody_lives() const {
    return !launcher_.adopted.empty() ||
           std::any_of(launcher_.children.begin(), launcher_.children.end(),
                       [](const auto& child) { return child->alive; });
  }
  static std::size_t index_of(char digit) {
    return static_cast<std::size_t>(static_cast<unsigned char>(digit) % 10);
  }

  void turn() {
    for (int i = 0; i < 3; ++i) loop_.run_once(std::chrono::milliseconds(0));
  }

  FakeChild* child(std::string_view role, std::size_t index) {
    const auto alive = launcher_.alive(role);
    return alive.empty() ? nullptr : alive[index % alive.size()];
  }
  FakeChild* named(std::string_view who) {
    if (who.empty()) return nullptr;
    if (who.front() == 'e') return child("edge", 0);
    if (who.front() == 'z') return child("zygote", 0);
    if (who.front() == 'm') return child("admin", 0);
    return child("worker", index_of(who.front()));
  }
  void say(std::string_view role, std::size_t index, std::string_view text, bool with_fds = false) {
    FakeChild* speaker = child(role, index);
    if (speaker == nullptr) return;
    std::vector<int> fds;
    if (with_fds) fds.assign(3, memory_.scoreboard_file().get());
    speaker->try_to_say(text, fds);
  }

  void scribble(std::string_view bytes) {
    if (bytes.empty()) return;
    const auto over = [bytes](void* record, std::size_t size) {
      for (std::size_t i = 0; i < size; ++i) {
        static_cast<char*>(record)[i] = bytes[i % bytes.size()];
      }
    };
    for (std::size_t i = 0; i < 4; ++i)
      over(&memory_.scoreboard().slot(i), sizeof(ipc::WorkerSlot));
    over(&memory_.scoreboard().server(), sizeof(ipc::ServerRecord));
  }

  void command(char what) {
    const auto ignore = [](const auto&) {};
    switch (what) {
      case 'r':
      case 'R':
        readable_ = what == 'r';
        return supervision_->reload(false, ignore);
      case 's':
        return static_cast<void>(supervision_->scale("app", 3));
      case 'k':
        return static_cast<void>(supervision_->scale("app", 1));
      case 'd':
        return supervision_->dump_stacks(std::nullopt, ignore);
      case 'i':
        return supervision_->inspect(ignore);
      case 'y':
        return supervision_->recycle(1, ignore);
      case 'u':
        return supervision_->upgrade(ignore);
      case 'l':
        return static_cast<void>(supervision_->reopen_logs());
      case 'S':
        return supervision_->begin_stop("a step");
      default:
        static_cast<void>(supervision_->status());
    }
  }

  std::shared_ptr<Generation> make(std::uint32_t number) {
    auto made = std::make_shared<Generation>();
    made->number = number;
    made->config.log.error = "-";
    auto& app = made->config.apps["app"];
    app.target = "app:application";
    app.workers = (choice_ & kSeveralWorkers) != 0 ? 2 : 1;
    app.preload = (choice_ & kPreload) != 0;
    if ((choice_ & kRecycling) != 0) app.max_requests = 1;
    if ((choice_ & kReadyPath) != 0) app.ready_path = "/ready";
    if ((choice_ & kAdmin) != 0) {
      // Nobody accepts on it.
      auto socket = std::make_shared<ListenSockets::Socket>();
      socket->fd.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
      made->admin_sockets = ListenSockets::adopt({std::move(socket)});
      made->admin_start = ipc::make_memory_file("admin start").value();
    }
    made->logs.error.reset(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    made->edge_start = ipc::make_memory_file("edge start").value();
    made->worker_start = ipc::make_memory_file("worker start").value();
    return made;
  }

  Result<std::shared_ptr<Generation>> next_generation(std::uint32_t number,
                                                      const Generation&) override {
    if (!readable_) return fail("nothing to be read");
    return make(number);
  }
  void committed(const Generation&) override {}
  Result<void> reopen_logs(const Generation&) override { return {}; }
  void serving(const std::string&) override {}
  void reloading() override {}
  void stopping(Clock::duration) override {}
  void check_binary(UpgradeState, std::function<void(Result<UniqueFd>)> done) override {
    done(fail("no binary"));
  }
  void hold_signals(bool) override {}
  Error become(const UniqueFd&, UpgradeState) override { return Error{"no exec here"}; }
  void taken_over() override {}

  const unsigned choice_;
  bool readable_ = true;
  EventLoop loop_;
  test::FakeLauncher launcher_;
  NoSink sink_;
  Logger log_{sink_, "supervisor", LogLevel::kDebug};
  StartReport report_{log_, true};
  SharedMemory memory_ = SharedMemory::create().value();
  std::optional<Supervision> supervision_;
};

// What can be read can be written, and read again.
void check_message(std::string_view text) {
  const auto message = ipc::parse_control_message(text);
  if (message) SAOLA_CHECK(ipc::parse_control_message(ipc::to_json(*message)).has_value());
}

}  // namespace
}  // namespace saola::control

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saola::control;
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Play play(static_cast<unsigned char>(rest.front()) & 63U);
  rest.remove_prefix(1);
  for (int steps = 0; !rest.empty() && steps < 200; ++steps) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const auto line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    check_message(line.substr(std::min<std::size_t>(line.size(), 1)));
    play.step(line);
  }
  play.end();
  return 0;
}
