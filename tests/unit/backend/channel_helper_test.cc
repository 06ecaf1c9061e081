// What the worker still does while Python keeps the app thread: here that thread is the test, which
// simply does not come to the channel.
#include "backend/channel_helper.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <future>

#include "wire_peer.h"

namespace saola::backend {
namespace {

using ipc::FrameType;
using test::WirePeer;

class ChannelHelperTest : public testing::Test {
 protected:
  ChannelHelperTest()
      : channel_(peer_.take_socket(), peer_.take_claims()), helper_(channel_, &slot_, {}) {
    peer_.hello();
  }
  RequestStream& claimed(std::size_t slot = 0) {
    peer_.request(slot);
    RequestStream* stream = nullptr;
    while (stream == nullptr) {
      channel_.wait(wakes_seen_);
      stream = channel_.claim_next();
    }
    return *stream;
  }

  WirePeer peer_;
  ipc::WorkerSlot slot_{};
  RequestChannel channel_;
  ChannelHelper helper_;
  std::uint64_t wakes_seen_ = 0;
};

TEST_F(ChannelHelperTest, AnswersAPingWhileTheAppIsStuck) {
  claimed();
  peer_.ping(7);
  EXPECT_EQ(peer_.expect(FrameType::kPong).payload.size(), 8U);
}

TEST_F(ChannelHelperTest, FlushesAFinishedAnswerWhileTheAppIsStuck) {
  for (int i = 0; i < 20; ++i) {
    auto& stream = claimed();
    auto head = channel_.begin_head(stream, 200, 2);
    channel_.end_head(std::move(head), stream, "ok", true);
    channel_.finish(stream);
    // No flush() here: the app thread went on to the next request.
    EXPECT_EQ(peer_.expect(FrameType::kBody).payload, "ok");
  }
}

TEST_F(ChannelHelperTest, ReceivesAnAbortWhileTheAppIsStuck) {
  auto& stream = claimed();
  peer_.abort(stream.id);
  pollfd wake{channel_.wake_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wake, 1, 20000), 1);
  EXPECT_TRUE(channel_.is_aborted(stream));
  channel_.finish(stream);
}

TEST_F(ChannelHelperTest, ReceivesAnAbortWhileTheAppOnlySends) {
  auto& stream = claimed();
  auto head = channel_.begin_head(stream, 200, -1);
  channel_.end_head(std::move(head), stream, "tick", false);
  peer_.abort(stream.id);
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
  while (!channel_.is_aborted(stream)) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    channel_.send_body(stream, "tick", false);
    channel_.flush();
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // the app's pace
  }
  channel_.finish(stream);
}

TEST_F(ChannelHelperTest, FilesRequestsButNeverClaimsThem) {
  claimed(0);
  const auto waiting = peer_.request(1);
  pollfd wake{channel_.wake_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wake, 1, 20000), 1);
  EXPECT_EQ(channel_.queued(), 1U);
  EXPECT_TRUE(peer_.claims().take_back(1, waiting));
  EXPECT_EQ(channel_.claim_next(), nullptr);
}

TEST_F(ChannelHelperTest, NoticesTheEndOfTheEdgeWhileTheAppIsStuck) {
  auto& stream = claimed();
  peer_.hang_up();
  pollfd wake{channel_.wake_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&wake, 1, 20000), 1);
  EXPECT_TRUE(channel_.broken());
  channel_.finish(stream);
}

TEST_F(ChannelHelperTest, FlushesWhatTheSocketDidNotTakeAtFirst) {
  auto& stream = claimed();
  const std::string bytes(ipc::kResponseWindow, 'x');
  auto head = channel_.begin_head(stream, 200, static_cast<std::int64_t>(bytes.size()));
  channel_.end_head(std::move(head), stream, bytes, true);
  channel_.finish(stream);
  channel_.flush();
  std::size_t got = 0;
  while (got < bytes.size()) got += peer_.expect(FrameType::kBody).payload.size();
  EXPECT_EQ(got, bytes.size());
}

TEST_F(ChannelHelperTest, KeepsTheHeartbeat) {
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
  const auto first = slot_.heartbeat_ns.load();
  while (slot_.heartbeat_ns.load() == first && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GT(slot_.heartbeat_ns.load(), first);
}

TEST(ChannelHelperWatches, CallsBackFromItsOwnThreadUntilToldNotTo) {
  WirePeer peer;
  RequestChannel channel(peer.take_socket(), peer.take_claims());
  const UniqueFd event(::eventfd(1, EFD_NONBLOCK));
  std::promise<std::thread::id> called;
  int calls = 0;
  {
    const ChannelHelper helper(channel, nullptr, {{event.get(), [&] {
                                                     ++calls;
                                                     called.set_value(std::this_thread::get_id());
                                                     return false;  // still readable
                                                   }}});
    EXPECT_NE(called.get_future().get(), std::this_thread::get_id());
  }
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace saola::backend
