// The commands that speak to a server, against one that answers from a script.
#include "common/cli/server_commands.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <sstream>
#include <thread>

#include "common/cli/control_client.h"
#include "common/cli/control_target.h"
#include "common/ipc/control_protocol.h"
#include "common/ipc/unix_socket.h"
#include "tests/support/temporary_directory.h"

namespace saola::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Serves one client at a time in a thread of its own.
class ScriptedServer {
 public:
  // What to answer; nothing: close the connection.
  using Script = std::function<std::optional<std::string>(const std::string& line)>;

  ScriptedServer(const std::string& path, Script script)
      : listener_(ipc::listen_unix(path, 0600).value()),
        script_(std::move(script)),
        thread_([this] { run(); }) {}
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::vector<std::string> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void run() {
    for (;;) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      ::poll(&waiting, 1, -1);
      const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      serve(client.get());
    }
  }
  void serve(int client) {
    std::string input;
    std::array<char, 4096> space{};
    for (;;) {
      const auto got = ::recv(client, space.data(), space.size(), 0);
      if (got <= 0) return;
      input.append(space.data(), static_cast<std::size_t>(got));
      for (std::size_t end; (end = input.find('\n')) != std::string::npos;) {
        const std::string line = input.substr(0, end);
        input.erase(0, end + 1);
        {
          const std::lock_guard lock(mutex_);
          asked_.push_back(line);
        }
        const auto answer = script_(line);
        if (!answer) return;
        ::send(client, answer->data(), answer->size(), MSG_NOSIGNAL);
      }
    }
  }

  UniqueFd listener_;
  Script script_;
  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::thread thread_;
};

std::string done(const std::string& message) {
  return ipc::to_line(ipc::ControlAnswer{message, {}, {}}) + "\n";
}

class ServerCommandsTest : public testing::Test {
 protected:
  int run(std::vector<std::string> arguments, config::EnvironmentView environment = {}) {
    out_.str("");
    err_.str("");
    const std::string name = arguments.front();
    return run_server_command(
        name, {std::move(arguments), std::move(environment), directory_.path(), &out_, &err_});
  }
  void serve(ScriptedServer::Script script) {
    server_ = std::make_unique<ScriptedServer>(path_, std::move(script));
  }
  Result<std::string> find(const TargetOptions& options, std::vector<std::string> directories) {
    return find_control_socket(options, {{}, {}, directory_.path(), &out_, &err_}, directories);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  test::TemporaryDirectory directory_;
  const std::string path_ = directory_.path("s.sock");
  std::unique_ptr<ScriptedServer> server_;

 private:
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ServerCommandsTest, EachCommandAsksForItsThing) {
  serve([](const std::string&) { return done("fine"); });
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"reload"},
                                             {"reload", "--rolling"},
                                             {"scale", "3"},
                                             {"scale", "3", "--app", "shop"},
                                             {"drain"},
                                             {"reopen"},
                                             {"stacks"},
                                             {"stacks", "2"},
                                             {"recycle", "7"},
                                             {"upgrade"}}) {
    auto arguments = command;
    arguments.insert(arguments.end(), {"--socket", path_});
    EXPECT_EQ(run(arguments), kExitOk) << err();
    EXPECT_EQ(out(), "fine\n");
  }
  EXPECT_THAT(
      server_->asked(),
      ElementsAre(R"({"command":"reload","rolling":false})",
                  R"({"command":"reload","rolling":true})", R"({"command":"scale","workers":3})",
                  R"({"app":"shop","command":"scale","workers":3})", R"({"command":"drain"})",
                  R"({"command":"reopen"})", R"({"command":"stacks"})",
                  R"({"command":"stacks","worker":2})", R"({"command":"recycle","worker":7})",
                  R"({"command":"upgrade"})"));
}

TEST_F(ServerCommandsTest, ARefusalGoesToStandardErrorWithItsTraceback) {
  serve([](const std::string&) {
    return ipc::to_line(Result<ipc::ControlAnswer>(
               fail("cannot be loaded\nTraceback:\n\timport \x1b[31mx"))) +
           "\n";
  });
  EXPECT_EQ(run({"reload", "--socket", path_}), kExitFailed);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(), "saola reload: cannot be loaded\nTraceback:\n    import \\x1b[31mx\n");
}

TEST_F(ServerCommandsTest, StatusIsATableOrJson) {
  serve([](const std::string& line) {
    ipc::ControlAnswer answer;
    if (line.find("requests") != std::string::npos) {
      answer.requests.emplace().connections = 12;
    } else {
      answer.status.emplace().version = "1.2.3";
    }
    return ipc::to_line(answer) + "\n";
  });
  EXPECT_EQ(run({"status", "--socket", path_}), kExitOk) << err();
  EXPECT_THAT(out(), StartsWith("saola 1.2.3"));
  EXPECT_EQ(run({"status", "--json", "--requests", "--socket", path_}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("\"version\":\"1.2.3\""));
  EXPECT_THAT(out(), HasSubstr("\"connections\":12"));
  EXPECT_EQ(run({"top", "--socket", path_}), kExitOk) << err();
  EXPECT_THAT(out(), HasSubstr("12 connections"));
  EXPECT_EQ(out().find('\x1b'), std::string::npos) << "no terminal, no escape sequences";
}

TEST_F(ServerCommandsTest, AConnectionThatEndsIsAFailure) {
  serve([](const std::string&) { return std::nullopt; });
  EXPECT_EQ(run({"reload", "--socket", path_}), kExitFailed);
  EXPECT_THAT(err(), HasSubstr("the server ended the connection"));
  EXPECT_EQ(run({"status", "--socket", path_}), kExitFailed);
}

TEST_F(ServerCommandsTest, AnAnswerThatIsNoneIsAFailure) {
  serve([](const std::string&) { return std::string("HTTP/1.1 400 Bad Request\n"); });
  EXPECT_EQ(run({"status", "--socket", path_}), kExitFailed);
  EXPECT_THAT(err(), HasSubstr("cannot be understood"));
}

// The server of an upgrade goes on in the same process under another connection.
TEST_F(ServerCommandsTest, AnUpgradeIsFollowedToTheNewProgram) {
  std::atomic<int> looks{0};
  serve([&looks](const std::string& line) -> std::optional<std::string> {
    if (line.find("upgrade") != std::string::npos) return std::nullopt;
    ipc::ControlAnswer answer;
    answer.status.emplace().version = "2.0.0";
    answer.status->ready = ++looks > 1;
    return ipc::to_line(answer) + "\n";
  });
  EXPECT_EQ(run({"upgrade", "--socket", path_}), kExitOk) << err();
  EXPECT_THAT(out(), StartsWith("saola 2.0.0 serves"));
  EXPECT_EQ(looks, 2);
}

TEST_F(ServerCommandsTest, BadCommandLinesAreExitCodeTwo) {
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{"scale"},
                                             {"scale", "x"},
                                             {"scale", "0"},
                                             {"scale", "2000"},
                                             {"recycle"},
                                             {"recycle", "-1"},
                                             {"stacks", "x"},
                                             {"reload", "now"},
                                             {"stop", "--later"}}) {
    EXPECT_EQ(run(bad), kExitUsage) << testing::PrintToString(bad) << err();
    EXPECT_THAT(err(), HasSubstr("saola " + bad[0] + ": "));
  }
  EXPECT_EQ(run({"scale", "--help"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("--app"));
}

TEST_F(ServerCommandsTest, SaysWhyAServerCannotBeReached) {
  EXPECT_EQ(run({"status", "--socket", path_}), kExitFailed);
  EXPECT_THAT(err(), HasSubstr("does not exist"));
  { ASSERT_TRUE(ipc::listen_unix(path_, 0600)); }  // dead at once
  EXPECT_EQ(run({"status", "--socket", path_}), kExitFailed);
  EXPECT_THAT(err(), HasSubstr("nobody listens"));
  EXPECT_EQ(run({"status", "--socket", directory_.path(std::string(200, 'x'))}), kExitFailed);
  EXPECT_THAT(err(), HasSubstr("the path has"));
}

constexpr char kApp[] = "[app]\ntarget = \"app:application\"\n";

TEST_F(ServerCommandsTest, TheConfigurationSaysWhichServer) {
  const std::string file =
      directory_.write("other.toml", std::string("[server]\nruntime_dir = \"run\"\n") + kApp);
  EXPECT_EQ(find({"", file}, {}).value(), directory_.path("run/saola.sock"));
  directory_.write("saola.toml", std::string("[server]\ncontrol_socket = \"here.sock\"\n") + kApp);
  EXPECT_EQ(find({}, {}).value(), directory_.path("here.sock"));
  EXPECT_EQ(find({"", file}, {}).value(), directory_.path("run/saola.sock"));
  EXPECT_EQ(find({"/x.sock", file}, {}).value(), "/x.sock");
}

TEST_F(ServerCommandsTest, AConfigurationThatDoesNotSayItIsAnErrorThatHelps) {
  const std::string off =
      directory_.write("off.toml", std::string("[server]\ncontrol_socket = \"off\"\n") + kApp);
  EXPECT_THAT(find({"", off}, {}).error().message, HasSubstr("turns the control socket off"));
  const std::string bad = directory_.write("bad.toml", "[app]\ntarget = 7\n");
  EXPECT_THAT(find({"", bad}, {}).error().message, HasSubstr("bad.toml:2:"));
  EXPECT_THAT(find({"", bad}, {}).error().message, HasSubstr("--socket PATH"));
  EXPECT_THAT(find({"", directory_.path("none.toml")}, {}).error().message, HasSubstr("none.toml"));
}

TEST_F(ServerCommandsTest, TheOnlyServerNeedsNoName) {
  const std::string directory = directory_.path();
  EXPECT_THAT(find({}, {directory}).error().message, HasSubstr("no running server found"));
  { ASSERT_TRUE(ipc::listen_unix(directory_.path("1.sock"), 0600)); }  // dead
  directory_.write("2.sock", "no socket");
  EXPECT_THAT(find({}, {directory}).error().message, HasSubstr("no running server found"));
  const auto one = ipc::listen_unix(directory_.path("11.sock"), 0600);
  EXPECT_EQ(find({}, {directory, directory_.path("none")}).value(), directory_.path("11.sock"));
  // A configuration that names no place means the same.
  directory_.write("saola.toml", kApp);
  EXPECT_EQ(find({}, {directory}).value(), directory_.path("11.sock"));
  const auto two = ipc::listen_unix(directory_.path("12.sock"), 0600);
  EXPECT_EQ(find({}, {directory}).error().message,
            "2 servers run; choose one:\n  --socket " + directory_.path("11.sock") +
                "\n  --socket " + directory_.path("12.sock"));
}

}  // namespace
}  // namespace saola::cli
