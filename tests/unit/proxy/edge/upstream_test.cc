// Upstream, Exchange and WorkerConnection together: the far ends are a recording client and a
// worker that speaks the wire over a real socket pair, step by step.
#include "proxy/upstream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "proxy/edge_services.h"
#include "tests/unit/proxy/edge/spool_fixture.h"

namespace saola::proxy {
namespace {

class RecordingClient final : public Downstream {
 public:
  void send_head(const ipc::ResponseHeadView& head, bool) override { status = head.status; }
  void send_interim(const ipc::ResponseHeadView&) override {}
  void send_body(std::string_view data) override { body.append(data); }
  void send_end(const std::vector<ipc::Field>&) override { ended = true; }
  void send_refusal(int code, std::string_view) override {
    status = code;
    ended = true;
  }
  void break_off() override { broken = true; }
  bool has_room() const override { return room; }
  void on_body_wanted() override {}

  int status = 0;
  std::string body;
  bool ended = false;
  bool broken = false;
  bool room = true;
};

// The worker's end of the wire.
class FakeWorker {
 public:
  FakeWorker(UniqueFd socket, ipc::ClaimTable claims)
      : socket_(std::move(socket)), claims_(std::move(claims)) {
    struct {
      std::uint32_t magic = ipc::kMagic;
      std::uint16_t version = ipc::kWireVersion, reserved = 0;
      std::uint32_t response = ipc::kResponseWindow, request = ipc::kRequestWindow;
    } hello;
    out_.add(ipc::FrameType::kHello, 0, 0, {reinterpret_cast<const char*>(&hello), sizeof hello});
    flush();
  }

  // Streams of REQUEST frames that have come, in order; bodies and aborts on the side.
  std::vector<std::uint32_t> requests;
  std::map<std::uint32_t, std::string> bodies;
  std::map<std::uint32_t, std::string> paths;
  std::vector<std::uint32_t> aborts;
  std::uint64_t window_credit = 0;

  void receive() {
    for (;;) {
      const auto space = decoder_.prepare();
      const auto got = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
      if (got <= 0) return;
      decoder_.commit(static_cast<std::size_t>(got));
      while (const auto frame = decoder_.next()) file(*frame);
    }
  }
  bool claim(std::uint32_t stream) { return claims_.claim(ipc::slot_of(stream), stream); }
  void answer(std::uint32_t stream, std::string_view body, bool end = true) {
    ipc::ResponseHeadEncoder head(out_.begin_head(), 200, -1);
    out_.end_head(ipc::FrameType::kResponseHead, 0, stream);
    more(stream, body, end);
  }
  void more(std::uint32_t stream, std::string_view body, bool end) {
    out_.add_body(stream, body, end, false);
    flush();
  }
  void abort(std::uint32_t stream) {
    const auto reason = ipc::AbortReason::kAppFailed;
    out_.add_after_body(ipc::FrameType::kAbort, 0, stream,
                        {reinterpret_cast<const char*>(&reason), 1});
    flush();
  }
  void give_credit(std::uint32_t stream, std::uint32_t bytes) {
    out_.add(ipc::FrameType::kWindow, 0, stream, {reinterpret_cast<const char*>(&bytes), 4});
    flush();
  }
  void send_raw(std::string_view bytes) {
    ASSERT_EQ(::send(socket_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  void die() { socket_.reset(); }

 private:
  void file(const ipc::Frame& frame) {
    switch (frame.type) {
      case ipc::FrameType::kRequest: {
        ipc::RequestView view;
        ASSERT_TRUE(ipc::decode_request(frame.payload, view));
        requests.push_back(frame.stream);
        paths[frame.stream] = view.meta.path;
        break;
      }
      case ipc::FrameType::kBody:
        bodies[frame.stream].append(frame.payload);
        break;
      case ipc::FrameType::kAbort:
        aborts.push_back(frame.stream);
        break;
      case ipc::FrameType::kWindow: {
        std::uint32_t credit = 0;
        std::memcpy(&credit, frame.payload.data(), sizeof credit);
        window_credit += credit;
        break;
      }
      default:
        break;
    }
  }
  void flush() {
    while (!out_.empty()) {
      iovec space[16];
      const auto batch = out_.gather(space);
      const auto sent = ::writev(socket_.get(), space, static_cast<int>(batch.count));
      ASSERT_GT(sent, 0);
      out_.consume(static_cast<std::size_t>(sent));
    }
  }

  UniqueFd socket_;
  ipc::ClaimTable claims_;
  ipc::FrameDecoder decoder_;
  ipc::FrameQueue out_;
};

class UpstreamTest : public SpoolFixture {
 protected:
  struct Request {
    RecordingClient client;
    std::unique_ptr<Exchange> exchange;
  };

  UpstreamTest() {
    app_.prefetch = 4;
    app_.queue_limit = 8;
    config_.apps["app"] = app_;
    services_.reset(new EdgeServices{.loop = loop_,
                                     .config = config_,
                                     .log = Logger(sink_, "edge", LogLevel::kCritical),
                                     .access_writer = nullptr,
                                     .access_format = nullptr,
                                     .router = Router(config_),
                                     .file_pool = FilePool(loop_, 1, 64),
                                     .spool_space = SpoolSpace(directory_, 1U << 20),
                                     .date = {},
                                     .request_ids = {},
                                     .read_buffer = {},
                                     .fields = {},
                                     .access_lines = {},
                                     .dirty = {},
                                     .draining = false,
                                     .find_upstream = nullptr,
                                     .edge = nullptr});
    upstream_ = std::make_unique<Upstream>(
        *services_, "app", config_.apps["app"],
        Upstream::Events{[this](std::uint32_t id) { idle_.push_back(id); },
                         [this](std::uint32_t id, const std::string&) { lost_.push_back(id); }});
    loop_.at_end_of_turn([this] { upstream_->flush(); });
  }
  ~UpstreamTest() override { requests_.clear(); }

  FakeWorker& add_worker(std::uint32_t slots, bool whole = true) {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    auto file = ipc::ClaimTable::create_file(64).value();
    ipc::WorkerAdd facts;
    facts.worker_id = static_cast<std::uint32_t>(workers_.size() + 1);
    facts.slots = slots;
    facts.whole_requests = whole;
    workers_.push_back(
        std::make_unique<FakeWorker>(UniqueFd(pair[1]), ipc::ClaimTable::map(file).value()));
    upstream_->add_worker(facts, UniqueFd(pair[0]), ipc::ClaimTable::map(file).value());
    return *workers_.back();
  }

  Request& send(std::string path, ipc::Method method = ipc::Method::kGet,
                std::int64_t body_length = 0) {
    auto& request = *requests_.emplace_back(std::make_unique<Request>());
    request.exchange = std::make_unique<Exchange>(*services_, request.client);
    auto& exchange = *request.exchange;
    exchange.head.method = method;
    exchange.head.content_length = body_length;
    exchange.path = std::move(path);
    exchange.script_path = exchange.path;
    exchange.request_id = "test";
    exchange.start(*upstream_);
    return request;
  }

  // Turns until `condition`, with every worker's input filed.
  bool turn_until(const std::function<bool()>& condition) {
    return run_until([&] {
      for (auto& worker : workers_) worker->receive();
      return condition();
    });
  }

  struct NullSink final : LogSink {
    void write_line(std::string_view) override {}
  } sink_;
  config::Config config_;
  config::App app_;
  std::unique_ptr<EdgeServices> services_;
  std::unique_ptr<Upstream> upstream_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<std::uint32_t> idle_;
  std::vector<std::uint32_t> lost_;
};

TEST_F(UpstreamTest, AnAnswerReachesItsClient) {
  auto& worker = add_worker(1);
  auto& request = send("/a");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  EXPECT_EQ(worker.paths[stream], "/a");
  EXPECT_TRUE(worker.claim(stream));
  worker.answer(stream, "hello");
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.status, 200);
  EXPECT_EQ(request.client.body, "hello");
}

TEST_F(UpstreamTest, RequestsWaitInTheEdgeWhenNoWorkerIsFree) {
  auto& worker = add_worker(1);
  send("/1");
  send("/2");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  EXPECT_EQ(upstream_->queued(), 1U);
}

TEST_F(UpstreamTest, AFullQueueIsAnswered503) {
  for (int i = 0; i < 8; ++i) send("/");
  EXPECT_EQ(upstream_->queued(), 8U);
  EXPECT_EQ(send("/").client.status, 503);
}

TEST_F(UpstreamTest, AnIdleWorkerGetsWhatAStuckOneHasNotBegun) {
  auto& stuck = add_worker(1);
  auto& first = send("/first");
  ASSERT_TRUE(turn_until([&] { return stuck.requests.size() == 1; }));
  stuck.claim(stuck.requests[0]);
  stuck.answer(stuck.requests[0], "quick");  // lively: it gets requests ahead of time
  ASSERT_TRUE(turn_until([&] { return first.client.ended; }));
  send("/long");
  send("/ahead");
  ASSERT_TRUE(turn_until([&] { return stuck.requests.size() == 3; }));
  ASSERT_TRUE(stuck.claim(stuck.requests[1]));  // and never returns
  auto& idle = add_worker(1);
  ASSERT_TRUE(turn_until([&] { return stuck.requests.size() == 3; }));
  send("/wakes the watch");
  ASSERT_TRUE(turn_until([&] { return idle.requests.size() >= 1; }));
  idle.claim(idle.requests[0]);
  idle.answer(idle.requests[0], "");
  ASSERT_TRUE(turn_until([&] { return idle.requests.size() == 2; }));
  const std::vector<std::string> paths = {idle.paths[idle.requests[0]],
                                          idle.paths[idle.requests[1]]};
  EXPECT_NE(std::find(paths.begin(), paths.end(), "/ahead"), paths.end());
  EXPECT_FALSE(stuck.claim(stuck.requests[2]));  // exactly one of the two runs it
}

TEST_F(UpstreamTest, ADeadWorkersUnclaimedRequestsGoElsewhere) {
  auto& dying = add_worker(2);
  auto& claimed = send("/claimed", ipc::Method::kPost);
  auto& waiting = send("/waiting", ipc::Method::kPost);
  ASSERT_TRUE(turn_until([&] { return dying.requests.size() == 2; }));
  ASSERT_TRUE(dying.claim(dying.requests[0]));
  auto& other = add_worker(2);
  dying.die();
  ASSERT_TRUE(turn_until([&] { return other.requests.size() == 1 && claimed.client.ended; }));
  EXPECT_EQ(claimed.client.status, 502);
  EXPECT_EQ(other.paths[other.requests[0]], "/waiting");
  other.claim(other.requests[0]);
  other.answer(other.requests[0], "done");
  ASSERT_TRUE(turn_until([&] { return waiting.client.ended; }));
  EXPECT_EQ(waiting.client.body, "done");
  EXPECT_EQ(lost_, std::vector<std::uint32_t>{1});
}

TEST_F(UpstreamTest, AClaimedIdempotentRequestIsRetriedOnceOnly) {
  add_worker(1);
  auto& request = send("/get");
  ASSERT_TRUE(turn_until([&] { return workers_[0]->requests.size() == 1; }));
  workers_[0]->claim(workers_[0]->requests[0]);
  workers_[0]->die();
  auto& second = add_worker(1);
  ASSERT_TRUE(turn_until([&] { return second.requests.size() == 1; }));
  second.claim(second.requests[0]);
  second.die();
  auto& third = add_worker(1);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.status, 502);
  EXPECT_TRUE(third.requests.empty());
}

TEST_F(UpstreamTest, AnAnswerCutByItsWorkersDeathIsBrokenOff) {
  auto& worker = add_worker(1);
  auto& request = send("/half");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  worker.claim(worker.requests[0]);
  worker.answer(worker.requests[0], "half of", false);
  ASSERT_TRUE(turn_until([&] { return request.client.body == "half of"; }));
  worker.die();
  ASSERT_TRUE(turn_until([&] { return request.client.broken; }));
  EXPECT_FALSE(request.client.ended);
}

TEST_F(UpstreamTest, AWaitingRequestWhoseClientLeavesIsNeverSent) {
  auto& worker = add_worker(1);
  auto& first = send("/first");
  auto& gone = send("/gone");
  gone.exchange->on_client_gone();
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  worker.claim(worker.requests[0]);
  worker.answer(worker.requests[0], "");
  auto& last = send("/last");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  EXPECT_EQ(worker.paths[worker.requests[1]], "/last");
  EXPECT_TRUE(first.client.ended);
  EXPECT_FALSE(last.client.ended);
}

TEST_F(UpstreamTest, AClaimedRequestWhoseClientLeavesIsAborted) {
  auto& worker = add_worker(1);
  auto& gone = send("/gone");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  worker.claim(stream);
  gone.exchange->on_client_gone();
  ASSERT_TRUE(turn_until([&] { return worker.aborts.size() == 1; }));
  EXPECT_EQ(worker.aborts[0], stream);
  send("/next");  // the worker's slot stays taken until it says that it has ended
  EXPECT_EQ(upstream_->queued(), 1U);
  worker.abort(stream);
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
}

TEST_F(UpstreamTest, AStreamedBodyRespectsTheWindow) {
  auto& worker = add_worker(4, false);
  const std::string data = pattern(200'000);
  auto& request = send("/up", ipc::Method::kPost, 200'000);
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  request.exchange->on_body(std::string_view(data).substr(0, 120'000));
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == ipc::kRequestWindow; }));
  worker.claim(stream);
  worker.give_credit(stream, 200'000);
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == 120'000; }));
  request.exchange->on_body(std::string_view(data).substr(120'000));
  request.exchange->on_body_end();
  ASSERT_TRUE(turn_until([&] { return worker.bodies[stream].size() == 200'000; }));
  EXPECT_TRUE(worker.bodies[stream] == data);
}

TEST_F(UpstreamTest, ASlowClientStopsTheWorkerOnlyBeyondTheBuffers) {
  config_.limits.response_buffer = 100'000;
  config_.limits.response_spool = 0;
  auto& worker = add_worker(1);
  auto& request = send("/down");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 1; }));
  const auto stream = worker.requests[0];
  worker.claim(stream);
  request.client.room = false;
  worker.answer(stream, std::string(90'000, 'x'), false);
  // Credit comes in steps of 64 KiB; what is left over waits for the next one.
  ASSERT_TRUE(turn_until([&] { return worker.window_credit == 65'536; }));
  worker.more(stream, std::string(90'000, 'x'), false);
  loop_.run_once(std::chrono::milliseconds(100));
  worker.receive();
  EXPECT_EQ(worker.window_credit, 65'536U);
  request.client.room = true;
  request.exchange->on_downstream_ready();
  ASSERT_TRUE(turn_until([&] { return worker.window_credit == 180'000; }));
  worker.more(stream, "end", true);
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.body.size(), 180'003U);
}

TEST_F(UpstreamTest, ADrainedWorkerGivesBackWhatItHasNotBegunAndIsReportedIdle) {
  auto& worker = add_worker(2);
  send("/claimed");
  send("/unclaimed");
  ASSERT_TRUE(turn_until([&] { return worker.requests.size() == 2; }));
  worker.claim(worker.requests[0]);
  upstream_->drain_worker(1);
  EXPECT_EQ(upstream_->queued(), 1U);
  EXPECT_TRUE(idle_.empty());
  worker.answer(worker.requests[0], "");
  ASSERT_TRUE(turn_until([&] { return idle_.size() == 1; }));
}

TEST_F(UpstreamTest, NonsenseFromAWorkerCostsThatWorkerOnly) {
  auto& bad = add_worker(1);
  auto& request = send("/a");
  ASSERT_TRUE(turn_until([&] { return bad.requests.size() == 1; }));
  auto& good = add_worker(1);
  bad.send_raw(std::string(64, '\xff'));
  ASSERT_TRUE(turn_until([&] { return good.requests.size() == 1; }));
  good.claim(good.requests[0]);
  good.answer(good.requests[0], "fine");
  ASSERT_TRUE(turn_until([&] { return request.client.ended; }));
  EXPECT_EQ(request.client.body, "fine");
}

}  // namespace
}  // namespace saola::proxy
