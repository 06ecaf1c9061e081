// A worker process from its first message to its exit code. The test plays the supervisor and the
// edge.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>

#include "backend/interpreter.h"
#include "backend/worker_main.h"
#include "child_process.h"
#include "common/config/config_loader.h"
#include "common/ipc/control_channel.h"
#include "common/ipc/control_message.h"
#include "common/ipc/scoreboard.h"
#include "common/metrics/metric_store.h"
#include "tests/support/temporary_directory.h"
#include "wire_peer.h"

// CPython keeps what it allocated for its types and interned strings until the process ends.
extern "C" const char* __asan_default_options();  // NOLINT: the sanitizer's name
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {  // NOLINT
  return "detect_leaks=0";
}

namespace saola::backend {
namespace {

using ipc::FrameType;
using ipc::WorkerPhase;
using test::WirePeer;
using testing::HasSubstr;

template <class T>
T must(Result<T> result) {
  SAOLA_CHECK(result.has_value());
  return *std::move(result);
}

// An application that can be held in the middle of a request: GET /hold opens the pipe "gate" of
// its directory and waits until the test opens it too.
constexpr std::string_view kApp = R"(
import os, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        open("gate").read()
    if path == "/hang":
        import ctypes
        while True: pass
    if path == "/c-loop": sum(range(10**15))  # holds the GIL
    if path == "/nap": time.sleep(0.3)
    if path == "/abort": os.abort()
    start_response("200 OK", [])
    return [path.encode()]
)";

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() {
    ::unsetenv("VIRTUAL_ENV");
    directory_.write("main.py", kApp);
    SAOLA_CHECK(::mkfifo(directory_.path("gate").c_str(), 0600) == 0);
  }

  void boot(const std::string& toml = "[app]\ntarget = 'main:app'\n") {
    auto [ours, theirs] = must(ipc::ControlChannel::make_pair());
    control_.emplace(std::move(ours));
    const auto board = must(ipc::Scoreboard::create_file());
    scoreboard_.emplace(must(ipc::Scoreboard::map(board)));
    log_.reset(::memfd_create("log", MFD_CLOEXEC));
    const auto metrics = must(metrics::MetricStore::create_file(1 << 16));
    const UniqueFd socket = peer_.take_socket();
    const UniqueFd claims = peer_.take_claims_file();
    const auto start =
        must(ipc::make_memory_file(ipc::to_json(ipc::WorkerStart{toml, directory_.path()})));
    peer_.hello();
    ipc::WorkerInit init;
    init.worker_id = 7;
    init.generation = 2;
    init.scoreboard_slot = 5;
    init.app = "app";
    const auto sent = control_->send(ipc::to_json(init), {start.get(), socket.get(), claims.get(),
                                                          board.get(), log_.get(), metrics.get()});
    SAOLA_CHECK(sent.has_value());
    const int control_fd = control_->fd();
    child_.emplace([&, fd = theirs.release()] {
      ::close(control_fd);
      ::close(peer_.fd());
      return run_worker(fd);
    });
  }
  void boot_and_wait() {
    boot();
    const auto message = receive();
    ASSERT_TRUE(std::holds_alternative<ipc::Ready>(message)) << log();
  }

  ipc::ControlMessage receive() {
    pollfd readable{control_->fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&readable, 1, 60'000), 1);
    const auto received = must(control_->receive());
    EXPECT_FALSE(received.closed || received.again);
    auto message = ipc::parse_control_message(received.text);
    return message ? *std::move(message) : ipc::ControlMessage{};
  }
  ipc::BootFailed receive_failure() {
    const auto message = receive();
    const auto* failed = std::get_if<ipc::BootFailed>(&message);
    EXPECT_NE(failed, nullptr);
    return failed != nullptr ? *failed : ipc::BootFailed{};
  }
  void send(const ipc::ControlMessage& message) {
    ASSERT_TRUE(control_->send(ipc::to_json(message)));
  }
  // A new edge takes the place of the old one.
  void rewire() {
    peer_ = WirePeer();
    const auto metrics = must(metrics::MetricStore::create_file(1 << 16));
    const UniqueFd socket = peer_.take_socket();
    const UniqueFd claims = peer_.take_claims_file();
    peer_.hello();
    ASSERT_TRUE(control_->send(ipc::to_json(ipc::WorkerRewire{}), {socket.get(), claims.get()}));
  }
  std::string get(std::size_t slot, std::string_view path) {
    peer_.request(slot, path);
    return peer_.expect(FrameType::kBody).payload;
  }
  void await_claim(std::size_t slot, std::uint32_t stream) {
    const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
    while (peer_.claims().is_offered(slot, stream)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      ::sched_yield();
    }
  }
  void open_gate() { const UniqueFd gate(::open(directory_.path("gate").c_str(), O_WRONLY)); }
  ipc::WorkerSlot& slot() { return scoreboard_->slot(5); }
  WorkerPhase phase() { return static_cast<WorkerPhase>(slot().phase.load()); }
  std::string log() const {
    std::string text(64 * 1024, '\0');
    const ssize_t size = ::pread(log_.get(), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return text;
  }

  saola::test::TemporaryDirectory directory_;
  WirePeer peer_;
  UniqueFd log_;
  std::optional<ipc::ControlChannel> control_;
  std::optional<ipc::Scoreboard> scoreboard_;
  std::optional<test::ChildProcess> child_;
};

TEST_F(WorkerTest, BootsServesDrainsAndExits) {
  boot();
  const auto message = receive();
  const auto* ready = std::get_if<ipc::Ready>(&message);
  ASSERT_NE(ready, nullptr) << log();
  EXPECT_EQ(ready->interface, "wsgi");
  EXPECT_EQ(ready->slots, 1U);
  EXPECT_EQ(phase(), WorkerPhase::kReady);
  EXPECT_EQ(slot().worker_id, 7U);
  EXPECT_EQ(slot().generation, 2U);
  EXPECT_EQ(slot().pid, static_cast<std::uint32_t>(child_->pid()));
  EXPECT_EQ(get(0, "/one"), "/one");
  EXPECT_EQ(get(1, "/two"), "/two");
  send(ipc::Drain{});
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_EQ(phase(), WorkerPhase::kExited);
  EXPECT_EQ(slot().requests_finished, 2U);
  EXPECT_THAT(log(), HasSubstr("ready: main:app (wsgi)"));
}

TEST_F(WorkerTest, DrainFinishesWhatWasClaimedAndLeavesTheRestToTheEdge) {
  boot_and_wait();
  const auto held = peer_.request(0, "/hold");
  await_claim(0, held);
  const auto waiting = peer_.request(1, "/waiting");
  send(ipc::Drain{});
  peer_.expect(FrameType::kDrain);
  EXPECT_EQ(phase(), WorkerPhase::kDraining);
  open_gate();
  EXPECT_EQ(peer_.expect(FrameType::kBody).payload, "/hold");
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_TRUE(peer_.claims().take_back(1, waiting));
}

TEST_F(WorkerTest, ATermSignalDrains) {
  boot_and_wait();
  const auto held = peer_.request(0, "/hold");
  await_claim(0, held);
  ::kill(child_->pid(), SIGTERM);
  peer_.expect(FrameType::kDrain);
  open_gate();
  EXPECT_EQ(peer_.expect(FrameType::kBody).payload, "/hold");
  EXPECT_EQ(child_->wait(), 0);
}

TEST_F(WorkerTest, StopEndsItWhateverPythonDoes) {
  boot_and_wait();
  await_claim(0, peer_.request(0, "/hang"));
  send(ipc::Stop{});
  EXPECT_EQ(child_->wait(), 0);
}

TEST_F(WorkerTest, TheSupervisorsEndEndsItWhateverPythonDoes) {
  boot_and_wait();
  await_claim(0, peer_.request(0, "/hang"));
  control_.reset();
  EXPECT_EQ(child_->wait(), 0);
}

TEST_F(WorkerTest, ItsStateOutlivesTheEdge) {
  directory_.write("main.py", R"(
served = 0
def app(environ, start_response):
    global served
    served += 1
    start_response("200 OK", [])
    return [str(served).encode()]
)");
  boot_and_wait();
  EXPECT_EQ(get(0, "/"), "1");
  for (const char* expected : {"2", "3"}) {
    peer_.hang_up();
    rewire();
    EXPECT_EQ(get(0, "/"), expected);
  }
  EXPECT_EQ(slot().requests_started, 3U);
  EXPECT_EQ(slot().requests_finished, 3U);
  EXPECT_EQ(phase(), WorkerPhase::kReady);
  send(ipc::Drain{});
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_THAT(log(), HasSubstr("connected to a new edge"));
}

TEST_F(WorkerTest, TakesANewEdgeWhilePythonHangs) {
  boot_and_wait();
  await_claim(0, peer_.request(0, "/hang"));
  peer_.hang_up();
  rewire();
  peer_.ping(1);
  peer_.expect(FrameType::kPong);
  const auto waiting = peer_.request(0, "/waiting");
  EXPECT_TRUE(peer_.claims().take_back(0, waiting));
  send(ipc::Stop{});
  EXPECT_EQ(child_->wait(), 0);
}

TEST_F(WorkerTest, EndsWithoutAnEdgeWhenItIsToldToDrain) {
  boot_and_wait();
  peer_.hang_up();
  send(ipc::Drain{});
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_THAT(log(), HasSubstr("ends without a connection to an edge"));
}

TEST_F(WorkerTest, EndsWithItsSupervisorAlsoWithoutAnEdge) {
  boot_and_wait();
  peer_.hang_up();
  control_.reset();
  EXPECT_EQ(child_->wait(), 0);
}

TEST_F(WorkerTest, ARewireWithoutItsDescriptorsEndsIt) {
  boot_and_wait();
  send(ipc::WorkerRewire{});
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_THAT(log(), HasSubstr("its descriptors are missing"));
}

TEST_F(WorkerTest, AnswersPingsAndKeepsItsHeartbeatWhilePythonHangs) {
  boot_and_wait();
  await_claim(0, peer_.request(0, "/hang"));
  peer_.ping(1);
  peer_.expect(FrameType::kPong);
  const auto before = slot().heartbeat_ns.load();
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
  while (slot().heartbeat_ns == before) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    ::sched_yield();
  }
  send(ipc::Stop{});
}

TEST_F(WorkerTest, WritesTheStacksOfAllThreadsWhateverPythonDoes) {
  for (const std::string path : {"/hold", "/hang", "/c-loop"}) {
    SCOPED_TRACE(path);
    peer_ = WirePeer();
    boot_and_wait();
    const auto stream = peer_.request(0, path);
    await_claim(0, stream);
    // The application's frame is there a moment after the claim.
    for (int i = 0; i < 1000 && log().find("main.py") == std::string::npos; ++i) {
      send(ipc::DumpStacks{"the test asks"});
      ASSERT_TRUE(std::holds_alternative<ipc::StacksDumped>(receive()));
    }
    EXPECT_THAT(log(), HasSubstr("stacks of all threads: the test asks\n"));
    EXPECT_THAT(log(),
                testing::ContainsRegex("request [^ ]+: GET " + path +
                                       ", for [0-9.]+ s after [0-9.]+ s in the queue, in thread "
                                       "0x[0-9a-f]{16}\n"));
    EXPECT_THAT(log(), testing::ContainsRegex("File \".*main.py\", line [0-9]+ in app"));
    send(ipc::Stop{});
    EXPECT_EQ(child_->wait(), 0) << child_->output();
  }
}

TEST_F(WorkerTest, ADumpOfStacksDisturbsNobody) {
  boot_and_wait();
  const auto held = peer_.request(0, "/hold");
  await_claim(0, held);
  send(ipc::DumpStacks{"the test asks"});
  ASSERT_TRUE(std::holds_alternative<ipc::StacksDumped>(receive()));
  open_gate();
  EXPECT_EQ(peer_.expect(FrameType::kBody).payload, "/hold");
  send(ipc::DumpStacks{"when it is idle"});
  ASSERT_TRUE(std::holds_alternative<ipc::StacksDumped>(receive()));
  EXPECT_THAT(log(), HasSubstr("stacks of all threads: when it is idle\nThread 0x"));
}

TEST_F(WorkerTest, ASlowRequestsStackIsLoggedOnce) {
  boot("[app]\ntarget = 'main:app'\nslow_request = '20ms'\n");
  ASSERT_TRUE(std::holds_alternative<ipc::Ready>(receive())) << log();
  EXPECT_EQ(get(0, "/quick"), "/quick");
  EXPECT_EQ(get(1, "/nap"), "/nap");
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
  while (log().find("in app") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << log();
    ::sched_yield();
  }
  const std::string text = log();
  EXPECT_THAT(text, HasSubstr(": slow request\n"));
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  "request [^ ]+: GET /nap, for 0.[0-9] s after 0.0 s in the queue, in thread"));
  EXPECT_EQ(text.find("slow request"), text.rfind("slow request"));
}

TEST_F(WorkerTest, AFatalErrorLeavesThePythonStackOnStandardError) {
  boot_and_wait();
  await_claim(0, peer_.request(0, "/abort"));
  EXPECT_EQ(child_->wait(), -SIGABRT);
  EXPECT_THAT(child_->output(), HasSubstr("Fatal Python error: Aborted"));
  EXPECT_THAT(child_->output(), HasSubstr("main.py\", line 12 in app"));
}

TEST_F(WorkerTest, AnApplicationThatCannotBeImportedIsReportedWithItsTraceback) {
  directory_.write("broken.py", "import no_such_library\n");
  boot("[app]\ntarget = 'broken:app'\n");
  const auto failed = receive_failure();
  EXPECT_TRUE(failed.application);
  EXPECT_THAT(failed.reason, HasSubstr("broken.py\", line 1, in <module>"));
  EXPECT_THAT(failed.reason, HasSubstr("No module named 'no_such_library'"));
  EXPECT_EQ(child_->wait(), 3);
  EXPECT_EQ(phase(), WorkerPhase::kExited);
}

TEST_F(WorkerTest, AVenvOfAnotherVersionIsReported) {
  directory_.write("venv/pyvenv.cfg", "version = 3.9.2\n");
  boot("[app]\ntarget = 'main:app'\nvenv = 'venv'\n");
  const auto failed = receive_failure();
  EXPECT_TRUE(failed.application);
  EXPECT_THAT(failed.reason, HasSubstr("made for Python 3.9"));
  EXPECT_EQ(child_->wait(), 3);
}

TEST_F(WorkerTest, AConfigurationItCannotReadIsNotTheApplicationsFault) {
  boot("[app]\ntarget = 7\n");
  EXPECT_FALSE(receive_failure().application);
  EXPECT_EQ(child_->wait(), 1);
}

TEST_F(WorkerTest, AnAsgiApplicationIsServedToo) {
  directory_.write("async_main.py", R"(
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})
)");
  boot("[app]\ntarget = 'async_main:app'\nconcurrency = 50\n");
  const auto message = receive();
  const auto* ready = std::get_if<ipc::Ready>(&message);
  ASSERT_NE(ready, nullptr) << log();
  EXPECT_EQ(ready->interface, "asgi");
  EXPECT_EQ(ready->slots, 50U);
  EXPECT_EQ(get(0, "/async"), "/async");
  send(ipc::Drain{});
  EXPECT_EQ(child_->wait(), 0);
  EXPECT_THAT(log(), HasSubstr("lifespan shutdown"));
}

class CheckImportTest : public testing::Test {
 protected:
  int check(const std::string& toml) {
    config::LoadInput input;
    input.path = directory_.path("saola.toml");
    input.text = toml;
    const auto config = config::load_config(input);
    SAOLA_CHECK(config.has_value());
    test::ChildProcess child([&] { return check_import(*config); });
    const int code = child.wait();
    output_ = child.output();
    return code;
  }
  saola::test::TemporaryDirectory directory_;
  std::string output_;
};

TEST_F(CheckImportTest, IsQuietAboutAnApplicationThatLoads) {
  directory_.write("main.py", kApp);
  EXPECT_EQ(check("[app]\ntarget = 'main:app'\n"), 0) << output_;
  EXPECT_EQ(output_, "");
}

TEST_F(CheckImportTest, SaysWhyAnApplicationDoesNotLoad) {
  directory_.write("main.py", kApp);
  EXPECT_EQ(check("[app]\ntarget = 'main:application'\n"), 3);
  EXPECT_THAT(output_, HasSubstr("'main' has no attribute 'application'"));
}

TEST_F(CheckImportTest, LooksAtEveryApp) {
  directory_.write("main.py", kApp);
  EXPECT_EQ(check("[apps.good]\ntarget = 'main:app'\n[apps.bad]\ntarget = 'nowhere:app'\n"
                  "[[route]]\npath = '/bad/'\napp = 'bad'\n[[route]]\napp = 'good'\n"),
            3);
  EXPECT_THAT(output_, HasSubstr("there is no module 'nowhere'"));
}

}  // namespace
}  // namespace saola::backend
