// The control socket over real sockets, with commands that only note what they were asked.
#include "common/control/control_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <fstream>
#include <functional>

#include "common/control/private_directory.h"
#include "tests/support/temporary_directory.h"

namespace saola::control {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

class LinesSink final : public LogSink {
 public:
  void write_line(std::string_view line) override { text += line; }
  std::string text;
};

class FakeCommands final : public ControlCommands {
 public:
  Status status() const override {
    Status status;
    status.version = "1.2.3";
    status.pid = 4711;
    status.workers.resize(workers);
    return status;
  }
  void inspect(Report done) override { reports.push_back(std::move(done)); }
  void reload(bool rolling, Done done) override {
    asked.push_back(rolling ? "reload rolling" : "reload");
    waiting.push_back(std::move(done));
  }
  Result<std::string> scale(const std::string& app, int count) override {
    asked.push_back("scale " + app + " " + std::to_string(count));
    if (count > 100) return fail("too many");
    return std::string("scaled");
  }
  void stop(bool at_once) override {
    asked.push_back(at_once ? "stop now" : "stop");
    if (on_stop) on_stop();
  }
  Result<std::string> drain() override {
    asked.push_back("drain");
    return std::string("not ready");
  }
  Result<std::string> reopen_logs() override {
    asked.push_back("reopen");
    return std::string("reopened");
  }
  void dump_stacks(std::optional<std::uint32_t> worker, Done done) override {
    asked.push_back("stacks " + (worker ? std::to_string(*worker) : "all"));
    done(std::string("written"));
    done(std::string("a second time"));
  }
  void recycle(std::uint32_t worker, Done done) override {
    asked.push_back("recycle " + std::to_string(worker));
    done(fail("no worker " + std::to_string(worker)));
  }
  void upgrade(Done done) override {
    asked.push_back("upgrade");
    waiting.push_back(std::move(done));
  }

  std::vector<std::string> asked;
  std::deque<Done> waiting;
  std::deque<Report> reports;
  std::function<void()> on_stop;
  std::size_t workers = 0;
};

class Client {
 public:
  explicit Client(const std::string& path) : socket_(ipc::connect_unix(path).value()) {}

  void send(std::string_view text) {
    EXPECT_EQ(::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  void end() { ::shutdown(socket_.get(), SHUT_WR); }
  void close() { socket_.reset(); }
  // What has come so far; sets `ended` at its end.
  const std::string& received() {
    std::array<char, 64 * 1024> space{};
    for (;;) {
      const auto got = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) ended = true;
      if (got <= 0) return text_;
      text_.append(space.data(), static_cast<std::size_t>(got));
    }
  }
  // The first line that has come, without its end; empty if none is complete.
  std::string take_line() {
    received();
    const std::size_t end = text_.find('\n');
    if (end == std::string::npos) return {};
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }
  int fd() const { return socket_.get(); }
  bool ended = false;

 private:
  UniqueFd socket_;
  std::string text_;
};

class ControlSocketTest : public testing::Test {
 protected:
  void open() {
    auto opened = ControlSocket::open(loop_, log_, commands_, path_, 0600);
    ASSERT_TRUE(opened) << opened.error().message;
    socket_ = *std::move(opened);
  }
  bool turn_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.run_once(milliseconds(20));
    }
    return true;
  }
  std::string line_of(Client& client) {
    std::string line;
    EXPECT_TRUE(turn_until([&] { return !(line = client.take_line()).empty() || client.ended; }));
    return line;
  }
  std::string ask(Client& client, const std::string& request) {
    client.send(request + "\n");
    return line_of(client);
  }
  std::string ask(const std::string& request) {
    Client client(path_);
    return ask(client, request);
  }

  test::TemporaryDirectory directory_;
  const std::string path_ = directory_.path("saola.sock");
  LinesSink sink_;
  Logger log_{sink_, "supervisor", LogLevel::kDebug};
  EventLoop loop_;
  FakeCommands commands_;
  std::unique_ptr<ControlSocket> socket_;
};

TEST_F(ControlSocketTest, IsAPrivateFileThatGoesAwayWithTheServer) {
  open();
  struct stat info {};
  ASSERT_EQ(::lstat(path_.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_TRUE(socket_->is_reachable());
  socket_.reset();
  EXPECT_NE(::lstat(path_.c_str(), &info), 0);
}

TEST_F(ControlSocketTest, ReplacesADeadSocketButNeitherALiveOneNorAFile) {
  {
    // A socket whose process was killed: closed, and its file left behind.
    auto dead = ipc::listen_unix(path_, 0600);
    ASSERT_TRUE(dead);
  }
  open();
  const auto second = ControlSocket::open(loop_, log_, commands_, path_, 0600);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE);
  EXPECT_THAT(ask(R"({"command":"status"})"), HasSubstr("1.2.3"));
  const std::string file = directory_.write("file", "precious");
  EXPECT_FALSE(ControlSocket::open(loop_, log_, commands_, file, 0600));
  EXPECT_TRUE(std::ifstream(file).good());
}

TEST_F(ControlSocketTest, LeavesAFileAloneThatSomebodyElsePutInItsPlace) {
  open();
  ::unlink(path_.c_str());
  directory_.write("saola.sock", "another");
  EXPECT_FALSE(socket_->is_reachable());
  socket_.reset();
  EXPECT_TRUE(std::ifstream(path_).good());
}

TEST_F(ControlSocketTest, CarriesOutEveryCommand) {
  open();
  EXPECT_EQ(ask(R"({"command":"scale","workers":3,"app":"shop"})"),
            R"({"message":"scaled","ok":true})");
  EXPECT_EQ(ask(R"({"command":"scale","workers":101})"), R"({"error":"too many","ok":false})");
  EXPECT_EQ(ask(R"({"command":"drain"})"), R"({"message":"not ready","ok":true})");
  EXPECT_EQ(ask(R"({"command":"reopen"})"), R"({"message":"reopened","ok":true})");
  EXPECT_EQ(ask(R"({"command":"stacks","worker":2})"), R"({"message":"written","ok":true})");
  EXPECT_EQ(ask(R"({"command":"stacks"})"), R"({"message":"written","ok":true})");
  EXPECT_EQ(ask(R"({"command":"recycle","worker":7})"), R"({"error":"no worker 7","ok":false})");
  EXPECT_THAT(ask(R"({"command":"stop","at_once":true})"), HasSubstr("\"ok\":true"));
  EXPECT_THAT(commands_.asked, ElementsAre("scale shop 3", "scale  101", "drain", "reopen",
                                           "stacks 2", "stacks all", "recycle 7", "stop now"));
  EXPECT_THAT(sink_.text, HasSubstr("control socket: drain (by uid " + std::to_string(::getuid()) +
                                    ", pid " + std::to_string(::getpid()) + ")"));
}

TEST_F(ControlSocketTest, ASlowCommandIsAnsweredWhenItIsOver) {
  open();
  Client client(path_);
  client.send(R"({"command":"reload","rolling":true})"
              "\n");
  ASSERT_TRUE(turn_until([&] { return commands_.waiting.size() == 1; }));
  EXPECT_EQ(client.take_line(), "");
  commands_.waiting.front()(fail("Traceback:\n  line 1"));
  EXPECT_EQ(line_of(client), R"({"error":"Traceback:\n  line 1","ok":false})");
}

TEST_F(ControlSocketTest, RequestsOfOneClientAreAnsweredInTheirOrder) {
  open();
  Client client(path_);
  client.send(R"({"command":"reload"})"
              "\n"
              R"({"command":"drain"})"
              "\n"
              R"({"command":"reopen"})"
              "\n");
  ASSERT_TRUE(turn_until([&] { return commands_.waiting.size() == 1; }));
  EXPECT_THAT(commands_.asked, ElementsAre("reload"));
  EXPECT_THAT(ask(R"({"command":"status"})"), HasSubstr("\"ok\":true")) << "others do not wait";
  commands_.waiting.front()(std::string("generation 2"));
  EXPECT_THAT(line_of(client), HasSubstr("generation 2"));
  EXPECT_THAT(line_of(client), HasSubstr("not ready"));
  EXPECT_THAT(line_of(client), HasSubstr("reopened"));
}

TEST_F(ControlSocketTest, AClientThatEndedItsDirectionGetsItsAnswer) {
  open();
  Client client(path_);
  client.send(R"({"command":"reload"})"
              "\n");
  client.end();
  ASSERT_TRUE(turn_until([&] { return commands_.waiting.size() == 1; }));
  for (int i = 0; i < 3; ++i) loop_.run_once(milliseconds(5));
  commands_.waiting.front()(std::string("done"));
  EXPECT_THAT(line_of(client), HasSubstr("done"));
  EXPECT_TRUE(turn_until([&] { return client.received(), client.ended; }));
  EXPECT_EQ(socket_->connections(), 0U);
}

TEST_F(ControlSocketTest, AClientThatLeavesCancelsOnlyItsAnswer) {
  open();
  Client client(path_);
  client.send(R"({"command":"reload"})"
              "\n");
  ASSERT_TRUE(turn_until([&] { return commands_.waiting.size() == 1; }));
  client.close();
  EXPECT_TRUE(turn_until([&] { return socket_->connections() == 0; }));
  commands_.waiting.front()(std::string("done"));
  EXPECT_THAT(ask(R"({"command":"drain"})"), HasSubstr("not ready"));
}

TEST_F(ControlSocketTest, AnAnswerMayComeWhenTheSocketIsNoMore) {
  open();
  Client client(path_);
  client.send(R"({"command":"upgrade"})"
              "\n"
              R"({"command":"requests"})"
              "\n");
  Client other(path_);
  other.send(R"({"command":"requests"})"
             "\n");
  ASSERT_TRUE(turn_until([&] { return !commands_.waiting.empty() && !commands_.reports.empty(); }));
  socket_.reset();
  commands_.waiting.front()(std::string("done"));
  commands_.reports.front()(ipc::EdgeReport());
  EXPECT_TRUE(turn_until([&] { return client.received(), client.ended; }));
}

TEST_F(ControlSocketTest, WhatTheEdgeDoesNowComesWhenTheEdgeHasSaidIt) {
  open();
  Client client(path_);
  client.send(R"({"command":"requests"})"
              "\n"
              R"({"command":"requests"})"
              "\n");
  ASSERT_TRUE(turn_until([&] { return commands_.reports.size() == 1; }));
  ipc::EdgeReport report;
  report.connections = 12;
  commands_.reports.front()(report);
  EXPECT_THAT(line_of(client), HasSubstr("\"connections\":12"));
  ASSERT_TRUE(turn_until([&] { return commands_.reports.size() == 2; }));
  commands_.reports.back()(fail("there is no edge"));
  EXPECT_EQ(line_of(client), R"({"error":"there is no edge","ok":false})");
}

TEST_F(ControlSocketTest, NonsenseIsAnsweredAndTheConnectionGoesOn) {
  open();
  Client client(path_);
  for (const char* nonsense : {"", "hello", "{", "[1]", "\x01\xff", R"({"command":"dance"})",
                               R"({"command":"reload","x":1})", "GET / HTTP/1.1\r"}) {
    EXPECT_THAT(ask(client, nonsense), HasSubstr("\"ok\":false")) << nonsense;
  }
  EXPECT_THAT(ask(client, R"({"command":"drain"})"), HasSubstr("\"ok\":true"));
  EXPECT_THAT(commands_.asked, ElementsAre("drain"));
}

TEST_F(ControlSocketTest, ARequestByteByByteIsARequest) {
  open();
  Client client(path_);
  for (const char c : std::string_view("{\"command\":\"drain\"}\n")) {
    client.send(std::string_view(&c, 1));
    loop_.run_once(milliseconds(1));
  }
  EXPECT_THAT(line_of(client), HasSubstr("\"ok\":true"));
}

TEST_F(ControlSocketTest, ARequestWithoutItsEndIsNotCarriedOut) {
  open();
  Client client(path_);
  client.send(R"({"command":"stop"})");
  client.end();
  EXPECT_TRUE(turn_until([&] { return client.received(), client.ended; }));
  EXPECT_THAT(commands_.asked, ElementsAre());
}

TEST_F(ControlSocketTest, ARequestThatDoesNotEndIsRefused) {
  open();
  Client client(path_);
  const std::string part(1024, 'x');
  for (int i = 0; i < 64; ++i) {
    ::send(client.fd(), part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  EXPECT_THAT(line_of(client), HasSubstr("too long"));
  EXPECT_TRUE(turn_until([&] { return client.received(), client.ended; }));
  EXPECT_EQ(socket_->connections(), 0U);
}

TEST_F(ControlSocketTest, AClientThatDoesNotTakeItsAnswersHoldsUpNobody) {
  open();
  commands_.workers = 2000;  // an answer that no socket buffer takes
  Client greedy(path_);
  for (int i = 0; i < 20; ++i)
    greedy.send(R"({"command":"status"})"
                "\n");
  for (int i = 0; i < 20; ++i) loop_.run_once(milliseconds(1));
  EXPECT_THAT(ask(R"({"command":"drain"})"), HasSubstr("\"ok\":true"));
  // And when it does, they are all there.
  int answers = 0;
  EXPECT_TRUE(turn_until([&] {
    while (!greedy.take_line().empty()) ++answers;
    return answers == 20;
  }));
}

TEST_F(ControlSocketTest, TooManyClientsAreToldSo) {
  open();
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < ControlSocket::kMaxConnections; ++i) {
    clients.push_back(std::make_unique<Client>(path_));
    loop_.run_once(milliseconds(1));
  }
  ASSERT_TRUE(turn_until([&] { return socket_->connections() == ControlSocket::kMaxConnections; }));
  Client late(path_);
  EXPECT_THAT(line_of(late), HasSubstr("too many clients"));
  clients.clear();
  ASSERT_TRUE(turn_until([&] { return socket_->connections() == 0; }));
  EXPECT_THAT(ask(R"({"command":"drain"})"), HasSubstr("\"ok\":true"));
}

TEST_F(ControlSocketTest, AStopIsAnsweredBeforeItHappens) {
  open();
  Client client(path_);
  std::string at_stop;
  commands_.on_stop = [&] { at_stop = client.take_line(); };
  client.send(R"({"command":"stop"})"
              "\n");
  ASSERT_TRUE(turn_until([&] { return !commands_.asked.empty(); }));
  EXPECT_THAT(at_stop, HasSubstr("\"ok\":true"));
}

// Run by a child of another user; what it was told.
std::string told_as(uid_t uid, const std::string& path, const std::function<void()>& turn) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(uid, uid, uid) != 0) ::_exit(1);
    const auto socket = ipc::connect_unix(path);
    if (!socket) ::_exit(2);
    // Refused before it has asked, this fails; what it was told is there all the same.
    const std::string_view request = "{\"command\":\"drain\"}\n";
    ::send(socket->get(), request.data(), request.size(), MSG_NOSIGNAL);
    ::fcntl(socket->get(), F_SETFL, 0);
    std::array<char, 4096> space{};
    for (;;) {
      const auto got = ::recv(socket->get(), space.data(), space.size(), 0);
      if (got <= 0) ::_exit(0);
      if (::write(writer.get(), space.data(), static_cast<std::size_t>(got)) != got) ::_exit(4);
    }
  }
  writer.reset();
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) turn();
  EXPECT_EQ(status, 0);
  std::array<char, 4096> space{};
  const auto got = ::read(reader.get(), space.data(), space.size());
  return {space.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

TEST_F(ControlSocketTest, AnotherUserIsRefusedWhateverTheModeOfTheFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  open();
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  const auto turn = [this] { loop_.run_once(milliseconds(5)); };
  EXPECT_THAT(told_as(54321, path_, turn), HasSubstr("not allowed"));
  EXPECT_THAT(commands_.asked, ElementsAre());
  EXPECT_THAT(sink_.text, HasSubstr("refused uid 54321"));
  EXPECT_EQ(socket_->connections(), 0U);
}

// --- where it is -------------------------------------------------------------------------------

class ControlPlaceTest : public ControlSocketTest {
 protected:
  std::unique_ptr<ControlSocket> open_configured(const config::Config& config,
                                                 const std::string& xdg = {}) {
    return ControlSocket::open_configured(loop_, log_, commands_, config, xdg);
  }
  config::Config config_;
};

TEST_F(ControlPlaceTest, IsInARuntimeDirectoryThatItMakesPrivate) {
  config_.server.runtime_dir = directory_.path("run");
  config_.server.control_socket_mode = 0660;
  const auto socket = open_configured(config_);
  ASSERT_NE(socket, nullptr) << sink_.text;
  EXPECT_EQ(socket->path(), directory_.path("run/saola.sock"));
  struct stat info {};
  ASSERT_EQ(::stat(directory_.path("run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat(socket->path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660U);
}

TEST_F(ControlPlaceTest, LeavesTheModeOfADirectoryThatIsThere) {
  config_.server.runtime_dir = directory_.path();
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  ASSERT_NE(open_configured(config_), nullptr);
  struct stat info {};
  ASSERT_EQ(::stat(directory_.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
}

TEST_F(ControlPlaceTest, AskedForAndNotPossibleIsAWarningAndNoEnd) {
  config_.server.control_socket = directory_.path("no/such/directory.sock");
  EXPECT_EQ(open_configured(config_), nullptr);
  EXPECT_THAT(sink_.text, HasSubstr("warning"));
  EXPECT_THAT(sink_.text, HasSubstr("no control socket: "));
  sink_.text.clear();
  config_.server.control_socket = directory_.path(std::string(200, 'x'));
  EXPECT_EQ(open_configured(config_), nullptr);
  EXPECT_THAT(sink_.text, HasSubstr("the path has"));
}

TEST_F(ControlPlaceTest, OffIsOff) {
  config_.server.control_socket = "off";
  EXPECT_EQ(open_configured(config_), nullptr);
  EXPECT_EQ(sink_.text, "");
}

TEST_F(ControlPlaceTest, AUserWithoutADirectoryIsToldNothing) {
  if (::geteuid() == 0) GTEST_SKIP() << "root has /run/saola";
  EXPECT_EQ(open_configured(config_, ""), nullptr);
  EXPECT_EQ(open_configured(config_, "/proc/no-such"), nullptr);
  EXPECT_THAT(sink_.text, HasSubstr("debug"));
  EXPECT_THAT(sink_.text, testing::Not(HasSubstr("warning")));
}

TEST_F(ControlPlaceTest, APrivateDirectoryIsOursAlone) {
  const std::string path = directory_.path("private");
  ASSERT_TRUE(make_private_directory(path));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  EXPECT_TRUE(make_private_directory(path)) << "the second time it is there";
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  EXPECT_THAT(make_private_directory(path).error().message, HasSubstr("writable for others"));
  const std::string link = directory_.path("link");
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  EXPECT_FALSE(make_private_directory(link));
  EXPECT_FALSE(make_private_directory(directory_.write("file", "")));
  EXPECT_FALSE(make_private_directory(directory_.path("no/such")));
}

TEST_F(ControlPlaceTest, SocketsOfDeadInstancesAreSweptAway) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const std::string dead = directory_.path(std::to_string(child) + ".sock");
  const std::string alive = directory_.path(std::to_string(::getpid()) + ".sock");
  const std::string other = directory_.path("saola.sock");
  for (const auto& path : {dead, alive, other}) ASSERT_TRUE(ipc::listen_unix(path, 0600));
  remove_dead_sockets(directory_.path());
  EXPECT_NE(::access(dead.c_str(), F_OK), 0);
  EXPECT_EQ(::access(alive.c_str(), F_OK), 0);
  EXPECT_EQ(::access(other.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace saola::control
