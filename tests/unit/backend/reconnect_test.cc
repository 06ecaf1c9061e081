// The worker's end of the wire when its edge dies and another takes its place. No Python.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>

#include <thread>

#include "backend/channel_helper.h"
#include "backend/request_channel.h"
#include "wire_peer.h"

namespace saola::backend {
namespace {

using ipc::FrameType;
using test::WirePeer;

class ReconnectTest : public testing::Test {
 protected:
  ReconnectTest() { open(); }
  void open(std::uint32_t window = ipc::kResponseWindow) {
    peer_ = std::make_unique<WirePeer>(4);
    channel_ = std::make_unique<RequestChannel>(peer_->take_socket(), peer_->take_claims());
    channel_->count_in(&slot_);
    peer_->hello(ipc::kWireVersion, window);
  }
  // The old edge, if it is still there, stays connected until the channel breaks with it.
  void new_edge(std::size_t slots = 4) {
    old_peer_ = std::exchange(peer_, std::make_unique<WirePeer>(slots));
    peer_->hello();
    channel_->reconnect(peer_->take_socket(), peer_->take_claims());
  }
  void die() {
    peer_->hang_up();
    while (channel_->receive()) {
    }
    EXPECT_TRUE(channel_->broken());
  }
  RequestStream& claimed(std::size_t slot = 0, std::int64_t body_length = 0) {
    peer_->request(slot, "/", body_length);
    EXPECT_TRUE(channel_->receive());
    auto* stream = channel_->claim_next();
    SAOLA_CHECK(stream != nullptr);
    return *stream;
  }
  void answer(RequestStream& stream, std::string_view body) {
    auto head = channel_->begin_head(stream, 200, static_cast<std::int64_t>(body.size()));
    channel_->end_head(std::move(head), stream, body, true);
    channel_->finish(stream);
    channel_->flush();
  }
  void expect_service() {
    answer(claimed(1), "served");
    EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "served");
    EXPECT_TRUE(peer_->silent());
  }
  bool bell_rings() {
    pollfd bell{channel_->wake_fd(), POLLIN, 0};
    return ::poll(&bell, 1, 0) == 1;
  }

  ipc::WorkerSlot slot_{};
  std::unique_ptr<WirePeer> peer_, old_peer_;
  std::unique_ptr<RequestChannel> channel_;
  std::uint64_t wakes_seen_ = 0;
};

TEST_F(ReconnectTest, ServesTheNewEdgeAfterABreakWhileIdle) {
  expect_service();
  die();
  new_edge();
  EXPECT_FALSE(channel_->broken());
  EXPECT_TRUE(bell_rings());
  expect_service();
}

TEST_F(ReconnectTest, SurvivesTwoBreaksInARow) {
  die();
  new_edge();
  die();
  new_edge();
  expect_service();
}

TEST_F(ReconnectTest, ANewEdgeMayComeBeforeTheEndOfTheOldIsNoticed) {
  auto& stream = claimed();
  new_edge();
  EXPECT_TRUE(channel_->is_aborted(stream));
  channel_->finish(stream);
  EXPECT_TRUE(old_peer_->closed());
  expect_service();
}

TEST_F(ReconnectTest, WhatRanHasNoClientAnyMore) {
  auto& stream = claimed();
  die();
  EXPECT_TRUE(channel_->is_aborted(stream));
  EXPECT_TRUE(channel_->is_detached(stream));
  EXPECT_EQ(stream.abort_reason, ipc::AbortReason::kClientGone);
  new_edge();
  // The new edge has given the same number to another request.
  auto& other = claimed(0);
  ASSERT_EQ(other.id, stream.id);
  EXPECT_EQ(channel_->in_flight(), 2U);
  answer(stream, "for nobody");
  EXPECT_TRUE(peer_->silent());
  EXPECT_FALSE(channel_->is_aborted(other));
  answer(other, "for somebody");
  EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "for somebody");
  EXPECT_TRUE(peer_->silent());
  EXPECT_EQ(channel_->in_flight(), 0U);
  EXPECT_EQ(slot_.requests_started, 2U);
  EXPECT_EQ(slot_.requests_finished, 2U);
}

TEST_F(ReconnectTest, WhatRanMayEndAfterItsSlotIsBeyondTheNewTable) {
  auto& stream = claimed(3);
  die();
  new_edge(1);
  answer(stream, "for nobody");
  EXPECT_TRUE(peer_->silent());
  answer(claimed(0), "served");
  EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "served");
}

TEST_F(ReconnectTest, WhatWasNotClaimedIsDropped) {
  peer_->request(0);
  peer_->request(1);
  ASSERT_TRUE(channel_->receive());
  EXPECT_EQ(channel_->queued(), 2U);
  die();
  EXPECT_EQ(channel_->queued(), 0U);
  new_edge();
  EXPECT_EQ(channel_->claim_next(), nullptr);
  expect_service();
}

TEST_F(ReconnectTest, AnswersThatHaveNotLeftAreDropped) {
  auto& first = claimed(0);
  auto& second = claimed(1);
  const std::string bytes(ipc::kResponseWindow, 'x');
  auto head = channel_->begin_head(first, 200, -1);
  EXPECT_EQ(channel_->end_head(std::move(head), first, bytes, false), bytes.size());
  answer(second, bytes);
  EXPECT_TRUE(channel_->has_unflushed());
  die();
  EXPECT_FALSE(channel_->has_unflushed());
  new_edge();
  EXPECT_EQ(channel_->send_body(first, bytes, false), bytes.size());  // taken and dropped
  channel_->send_abort(first, ipc::AbortReason::kAppFailed);
  channel_->finish(first);
  channel_->flush();
  EXPECT_TRUE(peer_->silent());
  expect_service();
}

TEST_F(ReconnectTest, ABreakEndsTheWaitForABody) {
  auto& stream = claimed(0, 100);
  peer_->body(stream.id, "part", false);
  std::thread dying([&] { peer_->hang_up(); });
  for (std::string text; !channel_->is_aborted(stream);) {
    channel_->wait_body(stream);
    channel_->take_body(stream, text);
  }
  dying.join();
  new_edge();
  std::string text;
  channel_->wait_body(stream);
  EXPECT_TRUE(channel_->take_body(stream, text).aborted);
  channel_->finish(stream);
  expect_service();
}

TEST_F(ReconnectTest, ABreakEndsTheWaitForAWindow) {
  open(4);
  auto& stream = claimed();
  auto head = channel_->begin_head(stream, 200, -1);
  EXPECT_EQ(channel_->end_head(std::move(head), stream, "12345678", false), 4U);
  channel_->flush();
  std::thread dying([&] { peer_->hang_up(); });
  channel_->wait_window(stream);
  dying.join();
  EXPECT_TRUE(channel_->is_aborted(stream));
  new_edge();
  channel_->wait_window(stream);  // also after the break
  EXPECT_EQ(channel_->send_body(stream, "5678", true), 4U);
  channel_->finish(stream);
  expect_service();
}

TEST_F(ReconnectTest, ABrokenFrameOfTheOldEdgeDoesNotReachTheNew) {
  // Half a frame, and a descriptor whose frame never comes.
  peer_->send_raw(std::string("\1\0\1\0\xff\0", 6));
  ASSERT_TRUE(channel_->receive());
  die();
  new_edge();
  expect_service();
}

TEST_F(ReconnectTest, AnEdgeThatSendsNonsenseHearsThatItIsOver) {
  peer_->send(FrameType::kResponseHead, 0, 3, "x");
  EXPECT_FALSE(channel_->receive());
  EXPECT_TRUE(peer_->closed());
}

TEST_F(ReconnectTest, ARequestCutShortLeavesTheCountsRight) {
  peer_->send(FrameType::kRequest, 0, 3, "x");
  EXPECT_FALSE(channel_->receive());
  EXPECT_EQ(channel_->queued(), 0U);
  new_edge();
  EXPECT_EQ(channel_->claim_next(), nullptr);
  expect_service();
}

TEST_F(ReconnectTest, TheNewEdgeHearsOfADrainThatHasBegun) {
  channel_->begin_drain();
  die();
  new_edge();
  EXPECT_EQ(peer_->next().type, FrameType::kDrain);
  peer_->request(0);
  ASSERT_TRUE(channel_->receive());
  EXPECT_EQ(channel_->claim_next(), nullptr);
}

TEST_F(ReconnectTest, KeepsTheOldSocketUntilALoopHasLetItGo) {
  const int old = channel_->watchable_fd();
  EXPECT_EQ(old, channel_->fd());
  peer_->hang_up();
  new_edge();
  EXPECT_NE(channel_->fd(), old);
  EXPECT_GE(::fcntl(old, F_GETFD), 0);
  EXPECT_EQ(channel_->watchable_fd(), channel_->fd());
  EXPECT_LT(::fcntl(old, F_GETFD), 0);
  die();
  EXPECT_EQ(channel_->watchable_fd(), -1);
}

// Threads that wait for requests go on waiting: for the next edge, or the order to drain.
class WaitingThroughABreak : public ReconnectTest, public testing::WithParamInterface<int> {
 protected:
  void start_threads() {
    for (int i = 0; i < GetParam(); ++i) {
      threads_.emplace_back([&] {
        std::uint64_t wakes_seen = 0;
        while (!channel_->draining()) {
          while (auto* stream = channel_->claim_next()) answer(*stream, "ok");
          channel_->wait(wakes_seen);
        }
      });
    }
  }
  void serve_some() {
    for (std::size_t round = 0; round < 20; ++round) {
      for (std::size_t slot = 0; slot < 4; ++slot) peer_->request(slot);
      for (int i = 0; i < 4; ++i) EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "ok");
    }
  }
  void await_break() {
    const auto deadline = std::chrono::steady_clock::now() + WirePeer::kPatience;
    while (!channel_->broken()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }
  void drain() {
    channel_->begin_drain();
    for (auto& thread : threads_) thread.join();
  }
  std::vector<std::thread> threads_;
};

TEST_P(WaitingThroughABreak, ServesEveryNewEdge) {
  start_threads();
  serve_some();
  for (int i = 0; i < 20; ++i) {
    peer_->hang_up();
    if (i % 2 == 0) await_break();
    new_edge();
    serve_some();
  }
  drain();
  EXPECT_EQ(channel_->in_flight(), 0U);
  EXPECT_EQ(slot_.requests_started.load(), slot_.requests_finished.load());
}

TEST_P(WaitingThroughABreak, DrainsWithoutAnEdge) {
  start_threads();
  serve_some();
  peer_->hang_up();
  await_break();
  drain();
}

INSTANTIATE_TEST_SUITE_P(Threads, WaitingThroughABreak, testing::Values(1, 4));

TEST_F(ReconnectTest, TheHelperServesTheNewEdgeWhileTheAppIsStuck) {
  const ChannelHelper helper(*channel_, &slot_, {});
  peer_->request(0);
  RequestStream* stuck = nullptr;
  while (stuck == nullptr) {
    channel_->wait(wakes_seen_);
    stuck = channel_->claim_next();
  }
  for (int i = 0; i < 3; ++i) {
    peer_->hang_up();
    new_edge();
    peer_->ping(7);
    EXPECT_EQ(peer_->expect(FrameType::kPong).payload.size(), 8U);
  }
  const auto waiting = peer_->request(0);
  peer_->ping(8);
  peer_->expect(FrameType::kPong);
  EXPECT_EQ(channel_->queued(), 1U);
  EXPECT_TRUE(peer_->claims().take_back(0, waiting));
  channel_->finish(*stuck);
}

}  // namespace
}  // namespace saola::backend
