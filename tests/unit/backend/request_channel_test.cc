// The worker's end of the wire: what it does with frames, windows, claims and descriptors. No
// Python.
#include "backend/request_channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstring>
#include <thread>

#include "common/ipc/scoreboard.h"
#include "wire_peer.h"

namespace saola::backend {
namespace {

using ipc::FrameType;
using test::WirePeer;

class RequestChannelTest : public testing::Test {
 protected:
  void open(std::size_t slots = 16) {
    peer_ = std::make_unique<WirePeer>(slots);
    channel_ = std::make_unique<RequestChannel>(peer_->take_socket(), peer_->take_claims());
  }
  void SetUp() override {
    open();
    peer_->hello();
  }
  // Sends a request and claims it.
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
  }
  std::string read_body(RequestStream& stream) {
    std::string text;
    channel_->take_body(stream, text);
    return text;
  }

  std::unique_ptr<WirePeer> peer_;
  std::unique_ptr<RequestChannel> channel_;
  std::uint64_t wakes_seen_ = 0;
};

TEST_F(RequestChannelTest, GivesRequestsInTheOrderOfTheirArrival) {
  peer_->request(3, "/first");
  peer_->request(1, "/second");
  ASSERT_TRUE(channel_->receive());
  EXPECT_EQ(channel_->queued(), 2U);
  EXPECT_EQ(channel_->claim_next()->request.meta.path, "/first");
  EXPECT_EQ(channel_->claim_next()->request.meta.path, "/second");
  EXPECT_EQ(channel_->claim_next(), nullptr);
  EXPECT_EQ(channel_->in_flight(), 2U);
  EXPECT_EQ(channel_->queued(), 0U);
}

TEST_F(RequestChannelTest, DropsARequestThatTheEdgeHasTakenBack) {
  const auto taken = peer_->request(0, "/taken");
  peer_->request(1, "/kept");
  ASSERT_TRUE(channel_->receive());
  ASSERT_TRUE(peer_->claims().take_back(0, taken));
  EXPECT_EQ(channel_->claim_next()->request.meta.path, "/kept");
  EXPECT_EQ(channel_->claim_next(), nullptr);
}

TEST_F(RequestChannelTest, ANewRequestReplacesTheUnclaimedOneInItsSlot) {
  const auto taken = peer_->request(0, "/taken");
  ASSERT_TRUE(peer_->claims().take_back(0, taken));
  peer_->request(0, "/next");
  ASSERT_TRUE(channel_->receive());
  EXPECT_EQ(channel_->queued(), 1U);
  EXPECT_EQ(channel_->claim_next()->request.meta.path, "/next");
  EXPECT_EQ(channel_->claim_next(), nullptr);
}

TEST_F(RequestChannelTest, AHostMayKeepAnAnsweredRequestWhileItsSlotIsUsedAgain) {
  auto& first = claimed(0);
  auto head = channel_->begin_head(first, 200, 2);
  channel_->end_head(std::move(head), first, "ok", true);
  channel_->flush();
  auto& second = claimed(0);
  ASSERT_NE(&first, &second);
  channel_->finish(first);
  answer(second, "second");
  channel_->flush();
  EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "ok");
  const auto body = peer_->expect(FrameType::kBody);
  EXPECT_EQ(body.payload, "second");
  EXPECT_EQ(body.flags & ipc::kEnd, ipc::kEnd);
  EXPECT_EQ(channel_->in_flight(), 0U);
}

TEST_F(RequestChannelTest, AnUnclaimedRequestThatIsAbortedIsForgotten) {
  const auto stream = peer_->request(0);
  peer_->abort(stream);
  ASSERT_TRUE(channel_->receive());
  EXPECT_EQ(channel_->claim_next(), nullptr);
  EXPECT_EQ(channel_->queued(), 0U);
}

TEST_F(RequestChannelTest, AnAbortedRequestGetsNoAnswerButItsEnd) {
  auto& stream = claimed();
  const auto id = stream.id;
  peer_->abort(stream.id);
  ASSERT_TRUE(channel_->receive());
  EXPECT_TRUE(channel_->is_aborted(stream));
  EXPECT_EQ(stream.abort_reason, ipc::AbortReason::kClientGone);
  answer(stream, "nobody reads this");
  channel_->flush();
  const auto end = peer_->next();
  EXPECT_EQ(end.type, FrameType::kAbort);
  EXPECT_EQ(end.stream, id);
  EXPECT_TRUE(peer_->silent());
}

TEST_F(RequestChannelTest, HeadAndSmallBodyLeaveTogether) {
  auto& stream = claimed();
  const auto id = stream.id;
  auto head = channel_->begin_head(stream, 201, 5);
  head.add(ipc::field::kContentType, "content-type", "text/plain");
  head.add(0, "x-made-up", "1");
  EXPECT_EQ(channel_->end_head(std::move(head), stream, "hello", true), 5U);
  channel_->finish(stream);
  channel_->flush();
  const auto seen = peer_->next();
  ASSERT_EQ(seen.type, FrameType::kResponseHead);
  EXPECT_EQ(seen.stream, id);
  ipc::ResponseHeadView view;
  ASSERT_TRUE(ipc::decode_response_head(seen.payload, view));
  EXPECT_EQ(view.status, 201);
  EXPECT_EQ(view.content_length, 5);
  ASSERT_EQ(view.fields.size(), 2U);
  EXPECT_EQ(view.fields[1].name, "x-made-up");
  const auto body = peer_->next();
  EXPECT_EQ(body.payload, "hello");
  EXPECT_EQ(body.flags, ipc::kEnd);
}

TEST_F(RequestChannelTest, AHeadOfOneStreamOvertakesTheLargeBodyOfAnother) {
  auto& large = claimed(0);
  auto& small = claimed(1);
  const auto small_id = small.id;
  const std::string bytes(100 * 1024, 'x');
  answer(large, bytes);
  answer(small, "small");
  channel_->flush();
  std::vector<std::uint32_t> heads;
  std::size_t before = 0;
  while (heads.size() < 2) {
    const auto frame = peer_->next();
    if (frame.type == FrameType::kResponseHead) heads.push_back(frame.stream);
    if (frame.type == FrameType::kBody) before += frame.payload.size();
  }
  EXPECT_EQ(heads[1], small_id);
  EXPECT_EQ(before, 0U);
}

TEST_F(RequestChannelTest, TakesNoMoreOfAnAnswerThanTheWindow) {
  open();
  peer_->hello(ipc::kWireVersion, 1000);
  auto& stream = claimed();
  const std::string bytes(3000, 'x');
  auto head = channel_->begin_head(stream, 200, 3000);
  EXPECT_EQ(channel_->end_head(std::move(head), stream, bytes, true), 1000U);
  EXPECT_EQ(channel_->send_body(stream, std::string_view(bytes).substr(1000), true), 0U);
  peer_->window(stream.id, 1500);
  channel_->wait_window(stream);
  EXPECT_EQ(channel_->send_body(stream, std::string_view(bytes).substr(1000), true), 1500U);
  peer_->window(stream.id, 9999);
  channel_->wait_window(stream);
  EXPECT_EQ(channel_->send_body(stream, std::string_view(bytes).substr(2500), true), 500U);
  channel_->finish(stream);
  channel_->flush();
  std::string all;
  for (bool end = false; !end;) {
    const auto body = peer_->expect(FrameType::kBody);
    all += body.payload;
    end = (body.flags & ipc::kEnd) != 0;
  }
  EXPECT_EQ(all, bytes);
}

TEST_F(RequestChannelTest, WaitingForAWindowEndsWhenTheClientGoes) {
  open();
  peer_->hello(ipc::kWireVersion, 10);
  auto& stream = claimed();
  auto head = channel_->begin_head(stream, 200, -1);
  channel_->end_head(std::move(head), stream, "0123456789", false);
  peer_->abort(stream.id);
  channel_->wait_window(stream);
  EXPECT_EQ(channel_->send_body(stream, "swallowed", false), 9U);
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, GivesCreditForTheBodyThatTheHostTakes) {
  auto& stream = claimed(0, 200 * 1024);
  const std::string piece(40 * 1024, 'b');
  peer_->body(stream.id, piece, false);
  channel_->wait_body(stream);
  while (!read_body(stream).empty()) channel_->receive();
  channel_->flush();
  std::uint32_t credit = 0;
  const auto window = peer_->expect(FrameType::kWindow);
  ASSERT_EQ(window.payload.size(), sizeof credit);
  std::memcpy(&credit, window.payload.data(), sizeof credit);
  EXPECT_GE(credit, 16U * 1024);
  peer_->body(stream.id, "the end", true);
  channel_->wait_body(stream);
  std::string rest;
  const auto part = channel_->take_body(stream, rest);
  EXPECT_EQ(rest, "the end");
  EXPECT_TRUE(part.complete);
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, TakesABodyInPiecesOfTheSizeAskedFor) {
  auto& stream = claimed(0, 10);
  peer_->body(stream.id, "0123456789", true);
  channel_->wait_body(stream);
  std::string text;
  EXPECT_FALSE(channel_->take_body(stream, text, 4).complete);
  EXPECT_EQ(text, "0123");
  EXPECT_TRUE(channel_->take_body(stream, text, 100).complete);
  EXPECT_EQ(text, "0123456789");
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, ABodyBeyondItsCreditEndsTheConnection) {
  auto& stream = claimed(0, 1024 * 1024);
  peer_->body(stream.id, std::string(ipc::kRequestWindow + 2 * ipc::kMaxPayload, 'x'), false);
  while (channel_->receive()) {
  }
  EXPECT_THAT(channel_->broken_reason(), testing::HasSubstr("more of a body"));
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, RequestTrailersEndTheBody) {
  auto& stream = claimed(0, -1);
  peer_->body(stream.id, "data", false);
  std::string payload;
  ipc::encode_trailers(payload, {{0, "x-sum", "7"}});
  peer_->send(FrameType::kTrailers, ipc::kEnd, stream.id, payload);
  ASSERT_TRUE(channel_->receive());
  std::string text;
  EXPECT_TRUE(channel_->take_body(stream, text).complete);
  ASSERT_EQ(stream.trailers.size(), 1U);
  EXPECT_EQ(stream.trailers[0].second, "7");
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, AnAnswerThatIsNotEndedIsBrokenOff) {
  auto& stream = claimed();
  auto head = channel_->begin_head(stream, 200, -1);
  channel_->end_head(std::move(head), stream, "half", false);
  channel_->finish(stream);
  channel_->flush();
  const auto abort = peer_->expect(FrameType::kAbort);
  EXPECT_EQ(static_cast<ipc::AbortReason>(abort.payload.at(0)), ipc::AbortReason::kAppFailed);
}

TEST_F(RequestChannelTest, ResponseTrailersEndAnAnswer) {
  auto& stream = claimed();
  auto head = channel_->begin_head(stream, 200, -1);
  channel_->end_head(std::move(head), stream, "data", false);
  channel_->send_trailers(stream, {{0, "x-sum", "7"}});
  channel_->finish(stream);
  channel_->flush();
  EXPECT_EQ(peer_->expect(FrameType::kTrailers).flags, ipc::kEnd);
  EXPECT_TRUE(peer_->silent());
}

TEST_F(RequestChannelTest, HandsOverTheSpooledBodyAsADescriptor) {
  const UniqueFd file(::memfd_create("body", MFD_CLOEXEC));
  ASSERT_EQ(::write(file.get(), "spooled", 7), 7);
  peer_->request(0, "/before");
  peer_->request(1, "/upload", 7, file.get());
  peer_->request(2, "/after");
  while (channel_->queued() < 3) ASSERT_TRUE(channel_->receive());
  EXPECT_FALSE(channel_->claim_next()->body_file.valid());
  auto* upload = channel_->claim_next();
  EXPECT_FALSE(channel_->claim_next()->body_file.valid());
  ASSERT_TRUE(upload->body_file.valid());
  EXPECT_TRUE(upload->body_complete);
  char text[8] = {};
  EXPECT_EQ(::pread(upload->body_file.get(), text, 7, 0), 7);
  EXPECT_STREQ(text, "spooled");
}

TEST_F(RequestChannelTest, ALostDescriptorFailsItsOwnRequestOnly) {
  const UniqueFd file(::memfd_create("body", MFD_CLOEXEC));
  peer_->request(0, "/lost", 7, file.get());
  // The process has no descriptor left when the frame is received.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd probe(::dup(0));
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(probe.get());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const bool alive = channel_->receive();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(alive);
  peer_->request(1, "/kept", 7, file.get());
  ASSERT_TRUE(channel_->receive());
  auto* lost = channel_->claim_next();
  EXPECT_TRUE(lost->body_file_lost);
  auto* kept = channel_->claim_next();
  EXPECT_FALSE(kept->body_file_lost);
  EXPECT_TRUE(kept->body_file.valid());
}

TEST_F(RequestChannelTest, AnswersAPing) {
  peer_->ping(0x1122334455667788);
  ASSERT_TRUE(channel_->receive());
  channel_->flush();
  const auto pong = peer_->next();
  EXPECT_EQ(pong.type, FrameType::kPong);
  std::uint64_t number = 0;
  std::memcpy(&number, pong.payload.data(), sizeof number);
  EXPECT_EQ(number, 0x1122334455667788U);
}

TEST_F(RequestChannelTest, RefusesAnEdgeOfAnotherWireVersion) {
  open();
  peer_->hello(ipc::kWireVersion + 1);
  EXPECT_FALSE(channel_->receive());
  EXPECT_THAT(channel_->broken_reason(),
              testing::HasSubstr("wire version " + std::to_string(ipc::kWireVersion + 1)));
}

TEST_F(RequestChannelTest, RefusesFramesBeforeHello) {
  open();
  peer_->ping(1);
  EXPECT_FALSE(channel_->receive());
  EXPECT_THAT(channel_->broken_reason(), testing::HasSubstr("HELLO"));
}

TEST_F(RequestChannelTest, RefusesNonsense) {
  struct Case {
    const char* what;
    FrameType type;
    std::uint32_t stream;
    std::string payload;
  };
  const Case cases[] = {{"slot beyond the table", FrameType::kRequest, 16, "x"},
                        {"request cut short", FrameType::kRequest, 3, "x"},
                        {"frame that only workers send", FrameType::kResponseHead, 3, "x"},
                        {"window cut short", FrameType::kWindow, 3, "x"},
                        {"unknown type", static_cast<FrameType>(99), 3, ""}};
  for (const auto& one : cases) {
    open();
    peer_->hello();
    peer_->send(one.type, 0, one.stream, one.payload);
    EXPECT_FALSE(channel_->receive()) << one.what;
    EXPECT_TRUE(channel_->broken()) << one.what;
  }
}

TEST_F(RequestChannelTest, TheEdgesEndAbortsWhatRunsAndForgetsWhatWaits) {
  auto& stream = claimed(0, 100);
  peer_->request(1);
  peer_->hang_up();
  channel_->wait_body(stream);
  EXPECT_TRUE(channel_->is_aborted(stream));
  EXPECT_TRUE(channel_->broken());
  EXPECT_EQ(channel_->claim_next(), nullptr);
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, ReportsEventsOfAStreamOnceAndOnlyOfHosts) {
  auto& stream = claimed(0, 100);
  peer_->body(stream.id, "a", false);
  peer_->body(stream.id, "b", false);
  ASSERT_TRUE(channel_->receive());
  std::vector<RequestStream*> events;
  channel_->take_events(events);
  EXPECT_TRUE(events.empty());
  stream.host = this;
  channel_->take_events(events);
  EXPECT_EQ(events, std::vector<RequestStream*>{&stream});
  channel_->take_events(events);
  EXPECT_TRUE(events.empty());
  channel_->finish(stream);
}

TEST_F(RequestChannelTest, WhileDrainingNothingIsClaimedAndTheEdgeIsTold) {
  peer_->request(0);
  ASSERT_TRUE(channel_->receive());
  channel_->begin_drain();
  EXPECT_EQ(channel_->claim_next(), nullptr);
  EXPECT_EQ(peer_->next().type, FrameType::kDrain);
  EXPECT_TRUE(peer_->claims().is_offered(0, ipc::make_stream(1, 0)));
  EXPECT_EQ(channel_->wait(wakes_seen_), RequestChannel::Wakeup::kWork);
}

TEST_F(RequestChannelTest, WakeEndsAWait) {
  std::thread waker([&] { channel_->wake(); });
  EXPECT_EQ(channel_->wait(wakes_seen_), RequestChannel::Wakeup::kWork);
  waker.join();
}

TEST_F(RequestChannelTest, AWakeReachesEveryThreadOnce) {
  std::uint64_t others_seen = 0;
  std::thread other([&] { channel_->wait(others_seen); });
  channel_->wake();
  other.join();
  // The other thread has not taken it from this one.
  EXPECT_EQ(channel_->wait(wakes_seen_), RequestChannel::Wakeup::kWork);
  EXPECT_EQ(wakes_seen_, others_seen);
  std::thread waker([&] { channel_->begin_drain(); });
  EXPECT_EQ(channel_->wait(wakes_seen_), RequestChannel::Wakeup::kWork);
  EXPECT_TRUE(channel_->draining());  // nothing earlier ended that wait
  waker.join();
}

TEST_F(RequestChannelTest, AWaitOfSeveralThreadsServesThemAll) {
  constexpr int kThreads = 4;
  constexpr std::size_t kRequests = 200;
  open(kRequests);
  peer_->hello();
  std::atomic<std::size_t> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      std::uint64_t wakes_seen = 0;
      while (!channel_->draining()) {
        while (auto* stream = channel_->claim_next()) {
          answer(*stream, "ok");
          ++served;
        }
        channel_->wait(wakes_seen);
      }
    });
  }
  for (std::size_t slot = 0; slot < kRequests; ++slot) peer_->request(slot);
  for (std::size_t i = 0; i < kRequests; ++i) peer_->expect(FrameType::kBody);
  channel_->begin_drain();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(served, kRequests);
}

TEST_F(RequestChannelTest, ALargeAnswerWaitsForRoomInTheSocket) {
  open();
  peer_->hello(ipc::kWireVersion, 64 * 1024 * 1024);
  auto& stream = claimed();
  const std::string bytes(4 * 1024 * 1024, 'x');
  auto head = channel_->begin_head(stream, 200, static_cast<std::int64_t>(bytes.size()));
  EXPECT_EQ(channel_->end_head(std::move(head), stream, bytes, true), bytes.size());
  channel_->finish(stream);
  channel_->flush();
  EXPECT_TRUE(channel_->has_unflushed());
  std::thread flusher([&] { EXPECT_TRUE(channel_->flush_all(WirePeer::kPatience)); });
  std::size_t got = 0;
  while (got < bytes.size()) got += peer_->expect(FrameType::kBody).payload.size();
  flusher.join();
  EXPECT_FALSE(channel_->has_unflushed());
}

TEST_F(RequestChannelTest, AnOverwrittenClaimTableEndsTheConnectionAfterWhatWasAnswered) {
  int told = 0;
  channel_->on_damage([&told] { ++told; });
  answer(claimed(0), "answered");
  const auto stream = peer_->request(1);
  ASSERT_TRUE(channel_->receive());
  peer_->claims().offer(1, stream + 1);  // what no edge writes: the number of another slot
  EXPECT_EQ(channel_->claim_next(), nullptr);
  EXPECT_TRUE(channel_->broken());
  EXPECT_EQ(channel_->claim_next(), nullptr);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(peer_->expect(FrameType::kBody).payload, "answered");
}

TEST_F(RequestChannelTest, CountsWhatItStartsAndFinishes) {
  ipc::WorkerSlot slot{};
  channel_->count_in(&slot);
  auto& first = claimed(0);
  claimed(1);
  answer(first, "ok");
  EXPECT_EQ(slot.requests_started, 2U);
  EXPECT_EQ(slot.requests_finished, 1U);
  EXPECT_GT(slot.loop_turn_ns, 0U);
}

}  // namespace
}  // namespace saola::backend
