// What the log says of requests that run; worker_test.cc has the stacks themselves.
#include "backend/stack_dump.h"

#include <gmock/gmock.h>

#include "wire_peer.h"

namespace saola::backend {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(StackReport, NamesWhatRunsAboveTheStacks) {
  EXPECT_EQ(
      stack_report("why", {{"id-1", "GET /a", milliseconds(65'240), milliseconds(1500), 0x7f00}},
                   "Thread\n\n"),
      "why\n  request id-1: GET /a, for 65.2 s after 1.5 s in the queue, in thread "
      "0x0000000000007f00\nThread");
}

TEST(StackReport, IsBounded) {
  const std::vector<RunningRequest> many(1000,
                                         {"id", "GET /", milliseconds(1), milliseconds(0), 1});
  const std::string report = stack_report("why", many, "");
  EXPECT_THAT(report, HasSubstr("\n  and 950 more requests"));
  EXPECT_LT(report.size(), 8000U);
}

TEST(PythonStacks, SayWhyThereAreNoneBeforePythonIsThere) {
  EXPECT_THAT(python_stacks(StackRisk::kNone), HasSubstr("unable to get the interpreter state"));
}

class RunningRequests : public testing::Test {
 protected:
  RunningRequests() {
    channel_.time_claims();
    peer_.hello();
  }
  RequestStream& claimed(std::size_t slot, std::string_view path) {
    peer_.request(slot, path);
    channel_.wait(wakes_seen_);
    RequestStream* stream = channel_.claim_next();
    SAOLA_CHECK(stream != nullptr);
    return *stream;
  }

  std::uint64_t wakes_seen_ = 0;
  test::WirePeer peer_;
  RequestChannel channel_{peer_.take_socket(), peer_.take_claims()};
};

TEST_F(RunningRequests, AreThoseThatWereClaimedAndNotFinished) {
  EXPECT_TRUE(channel_.running().empty());
  claimed(0, "/first");
  auto& over = claimed(1, "/over");
  claimed(2, "/second");
  peer_.request(3, "/unclaimed");
  channel_.wait(wakes_seen_);
  channel_.finish(over);
  const auto running = channel_.running();
  ASSERT_EQ(running.size(), 2U);
  EXPECT_EQ(running[0].line, "GET /first");
  EXPECT_EQ(running[1].line, "GET /second");
  EXPECT_GE(running[0].ran, running[1].ran);
  EXPECT_EQ(running[0].thread, static_cast<unsigned long>(pthread_self()));
}

TEST_F(RunningRequests, AreSlowOnce) {
  auto& stream = claimed(0, "/slow");
  EXPECT_TRUE(channel_.take_slow(std::chrono::hours(1)).empty());
  EXPECT_EQ(channel_.take_slow(milliseconds(0)).size(), 1U);
  EXPECT_TRUE(channel_.take_slow(milliseconds(0)).empty());
  channel_.finish(stream);
  claimed(0, "/next");  // in the same slot
  EXPECT_EQ(channel_.take_slow(milliseconds(0)).size(), 1U);
}

TEST_F(RunningRequests, AreTimedOutAlsoAfterTheirClientHasLeft) {
  std::vector<std::uint32_t> told;
  channel_.on_timeout([&told](const RequestStream& stream) { told.push_back(stream.id); });
  auto& stream = claimed(0, "/");
  peer_.abort(stream.id);
  channel_.receive();
  EXPECT_TRUE(channel_.is_aborted(stream));
  EXPECT_FALSE(channel_.is_timed_out(stream));
  const char timeout = static_cast<char>(ipc::AbortReason::kTimeout);
  for (int i = 0; i < 2; ++i) {
    peer_.send(ipc::FrameType::kAbort, 0, stream.id, {&timeout, 1});
    channel_.receive();
  }
  EXPECT_TRUE(channel_.is_timed_out(stream));
  EXPECT_THAT(told, testing::ElementsAre(stream.id));
}

}  // namespace
}  // namespace saola::backend
