#include "common/ipc/control_message.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/ipc/control_channel.h"

namespace saola::ipc {
namespace {

using testing::HasSubstr;

template <class Message>
Message there_and_back(const Message& message) {
  auto parsed = parse_control_message(to_json(message));
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::get<Message>(*parsed);
}

TEST(ControlMessage, AReportComesBackAsItWas) {
  there_and_back(EdgeInspect{});
  EdgeReport report;
  report.connections = 12;
  report.apps = {{"shop", 3, 0.5, 2, 1ULL << 40, 12.25}};
  report.requests = {{7, "id", "GET", "/a\"\x01", "running", 1.5}};
  const auto back = there_and_back(report);
  EXPECT_EQ(back.connections, 12U);
  ASSERT_EQ(back.apps.size(), 1U);
  EXPECT_EQ(back.apps[0].app, "shop");
  EXPECT_EQ(back.apps[0].queued, 3U);
  EXPECT_EQ(back.apps[0].longest_wait, 0.5);
  EXPECT_EQ(back.apps[0].running, 2U);
  EXPECT_EQ(back.apps[0].finished, 1ULL << 40);
  EXPECT_EQ(back.apps[0].finished_seconds, 12.25);
  ASSERT_EQ(back.requests.size(), 1U);
  EXPECT_EQ(back.requests[0].worker_id, 7U);
  EXPECT_EQ(back.requests[0].request_id, "id");
  EXPECT_EQ(back.requests[0].method, "GET");
  EXPECT_EQ(back.requests[0].path, "/a\"\x01");
  EXPECT_EQ(back.requests[0].state, "running");
  EXPECT_EQ(back.requests[0].seconds, 1.5);
}

TEST(ControlMessage, AReportOfTheWorstRequestsFitsIntoAPacket) {
  EdgeReport report;
  for (std::size_t i = 0; i < EdgeReport::kMaxRequests; ++i) {
    const std::string worst(EdgeReport::kMaxPath, '\x01');
    report.requests.push_back({1, worst, worst, worst, "running", 1});
    report.apps.push_back({std::string(64, 'x'), 1, 1.0 / 3, 1, 1ULL << 60, 1.0 / 3});
  }
  const std::string text = to_json(ControlMessage(report));
  EXPECT_LT(text.size(), ControlChannel::kMaxMessage);
  EXPECT_FALSE(there_and_back(report).requests.empty());
}

TEST(ControlMessage, EveryMessageComesBackAsItWas) {
  const auto init = there_and_back(EdgeInit{true, 3, 7});
  EXPECT_TRUE(init.has_access_log);
  EXPECT_EQ(init.listeners, 3U);
  EXPECT_EQ(init.generation, 7U);

  const auto add = there_and_back(WorkerAdd{7, 2, 4711, 12, "shop", 1000, true});
  EXPECT_EQ(add.worker_id, 7U);
  EXPECT_EQ(add.generation, 2U);
  EXPECT_EQ(add.pid, 4711U);
  EXPECT_EQ(add.scoreboard_slot, 12U);
  EXPECT_EQ(add.app, "shop");
  EXPECT_EQ(add.slots, 1000U);
  EXPECT_TRUE(add.whole_requests);

  EXPECT_EQ(there_and_back(WorkerDrain{7}).worker_id, 7U);
  EXPECT_EQ(there_and_back(WorkerRemove{8}).worker_id, 8U);
  EXPECT_EQ(there_and_back(WorkerIdle{9}).worker_id, 9U);
  EXPECT_EQ(there_and_back(Drain{0xffffffff}).timeout_ms, 0xffffffffU);
  EXPECT_EQ(there_and_back(Drain{1, 2000}).idle_ms, 2000U);
  EXPECT_TRUE(there_and_back(ReopenLogs{true}).has_access_log);
  there_and_back(Stop{});
  there_and_back(Drained{});

  const auto worker = there_and_back(WorkerInit{7, 2, 12, "shop"});
  EXPECT_EQ(worker.worker_id, 7U);
  EXPECT_EQ(worker.generation, 2U);
  EXPECT_EQ(worker.scoreboard_slot, 12U);
  EXPECT_EQ(worker.app, "shop");

  const auto ready = there_and_back(Ready{"asgi", 1000});
  EXPECT_EQ(ready.interface, "asgi");
  EXPECT_EQ(ready.slots, 1000U);
  const auto failed = there_and_back(BootFailed{"Traceback\n  \"x\"", true});
  EXPECT_EQ(failed.reason, "Traceback\n  \"x\"");
  EXPECT_TRUE(failed.application);
  const auto lost = there_and_back(WorkerLost{7, "reset"});
  EXPECT_EQ(lost.worker_id, 7U);
  EXPECT_EQ(lost.reason, "reset");

  EXPECT_EQ(there_and_back(ZygoteInit{"shop"}).app, "shop");
  EXPECT_EQ(there_and_back(ZygoteFork{"saola: worker shop 3"}).title, "saola: worker shop 3");
  EXPECT_EQ(there_and_back(Born{4711}).pid, 4711U);
  there_and_back(ReleaseClients{});
  EXPECT_TRUE(there_and_back(EdgeCommit{3, true}).rolling);
  EXPECT_FALSE(there_and_back(EdgeCommit{3, false}).rolling);
}

TEST(ControlMessage, RefusesWhatIsNoMessage) {
  for (const char* text :
       {"", "{", "[]", "null", "{}", R"({"type":"unknown"})", R"({"type":7})",
        R"({"type":"worker_remove"})", R"({"type":"worker_remove","worker_id":-1})",
        R"({"type":"worker_remove","worker_id":4294967296})",
        R"({"type":"worker_remove","worker_id":"7"})",
        R"({"type":"worker_remove","worker_id":7.5})",
        R"({"type":"reopen_logs","has_access_log":1})", R"({"type":"stop"} trailing)"}) {
    EXPECT_FALSE(parse_control_message(text)) << text;
  }
  EXPECT_FALSE(parse_control_message(std::string(100000, '[')));
  EXPECT_THAT(parse_control_message(R"({"type":"x"})").error().message,
              HasSubstr("control message: unknown type 'x'"));
}

TEST(ControlMessage, ATracebackOfAnyLengthAndBytesFitsIntoAPacket) {
  const std::string begin = "Traceback (most recent call last):\n";
  const std::string end = "\nValueError: the end";
  const auto text = to_json(BootFailed{begin + std::string(1 << 20, '\x01') + end, true});
  EXPECT_LE(text.size(), ControlChannel::kMaxMessage);
  const auto parsed = parse_control_message(text);
  ASSERT_TRUE(parsed);
  const auto& reason = std::get<BootFailed>(*parsed).reason;
  EXPECT_TRUE(reason.starts_with(begin));
  EXPECT_TRUE(reason.ends_with(end));

  const auto odd = parse_control_message(to_json(BootFailed{"caf\xe9", false}));
  ASSERT_TRUE(odd);
  EXPECT_EQ(std::get<BootFailed>(*odd).reason, "caf\xef\xbf\xbd");
}

TEST(StartMessages, KeysAndPasswordsOfAnyBytesComeBackUnchanged) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  EdgeStart start;
  start.config_toml = "title = \"\xc3\xa9\"";
  start.config_dir = "/etc/" + every_byte.substr(1);
  start.key_pairs = {{{"cert", "key", every_byte, "/cert.pem"}, {"rsa", "key2", "", ""}}, {}};
  const auto back = parse_edge_start(to_json(start));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->config_toml, start.config_toml);
  EXPECT_EQ(back->config_dir, start.config_dir);
  ASSERT_EQ(back->key_pairs.size(), 2U);
  ASSERT_EQ(back->key_pairs[0].size(), 2U);
  EXPECT_EQ(back->key_pairs[0][0].certificate_pem, "cert");
  EXPECT_EQ(back->key_pairs[0][0].key_password, every_byte);
  EXPECT_EQ(back->key_pairs[0][0].certificate_path, "/cert.pem");
  EXPECT_EQ(back->key_pairs[0][1].key_pem, "key2");
  EXPECT_TRUE(back->key_pairs[1].empty());

  const auto worker = parse_worker_start(to_json(WorkerStart{"a = 1", "/srv"}));
  ASSERT_TRUE(worker);
  EXPECT_EQ(worker->config_toml, "a = 1");
  EXPECT_EQ(worker->config_dir, "/srv");
  EXPECT_FALSE(parse_worker_start("{}"));
  EXPECT_FALSE(parse_edge_start(R"({"config_toml":"","config_dir":"","key_pairs":[[7]]})"));
}

TEST(MemoryFile, HoldsTextThatNobodyCanChange) {
  const std::string text(300000, 't');
  const auto file = make_memory_file(text);
  ASSERT_TRUE(file);
  EXPECT_EQ(read_memory_file(*file).value(), text);
  EXPECT_EQ(read_memory_file(*file).value(), text) << "reading does not move the shared offset";
  EXPECT_LT(::pwrite(file->get(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(file->get(), 0), 0);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file->get(), 0), MAP_FAILED);
  EXPECT_EQ(read_memory_file(make_memory_file("").value()).value(), "");
}

TEST(MemoryFile, ReadingWhatIsNoFileFails) {
  EXPECT_FALSE(read_memory_file(UniqueFd()));
  const UniqueFd huge(::memfd_create("huge", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(huge.get(), off_t{1} << 40), 0);
  EXPECT_FALSE(read_memory_file(huge));
}

}  // namespace
}  // namespace saola::ipc
