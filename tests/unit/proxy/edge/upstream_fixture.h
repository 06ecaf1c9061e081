// UpstreamTest: Upstream, Exchange and WorkerConnection together: the far ends are a recording
// client and a worker that speaks the wire over a real socket pair, step by step.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/edge_services.h"
#include "proxy/upstream.h"
#include "tests/unit/proxy/edge/spool_fixture.h"

namespace saola::proxy {

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
  std::map<std::uint32_t, ipc::AbortReason> abort_reasons;  // the last one
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
        abort_reasons[frame.stream] = static_cast<ipc::AbortReason>(frame.payload.at(0));
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
    std::string path;
  };

  UpstreamTest() {
    app_.prefetch = 4;
    app_.queue_limit = 8;
    start();
  }

  // With `app_` as it is now, before any worker or request.
  void start() {
    upstream_.reset();
    config_.apps["app"] = app_;
    services_.reset(new EdgeServices{.loop = loop_,
                                     .config = config_,
                                     .log = Logger(sink_, "edge", LogLevel::kInfo),
                                     .metrics = make_metrics(),
                                     .access_writer = nullptr,
                                     .access_format = nullptr,
                                     .access_sample = {},
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
                         [this](std::uint32_t id, const std::string&) { lost_.push_back(id); },
                         [this](std::uint32_t id, const std::string& reason) {
                           overdue_.emplace_back(id, reason);
                         }});
    loop_.at_end_of_turn([this] {
      if (upstream_) upstream_->flush();
    });
  }
  ~UpstreamTest() override { requests_.clear(); }

  static std::unique_ptr<EdgeMetrics> make_metrics() {
    const auto file = metrics::MetricStore::create_file(std::size_t{1} << 20U).value();
    return std::make_unique<EdgeMetrics>(metrics::MetricStore::map(file).value(),
                                         metrics::TimeBounds({1'000'000}));
  }

  FakeWorker& add_worker(std::uint32_t slots, bool whole = true, std::uint32_t generation = 0,
                         bool standby = false) {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    auto file = ipc::ClaimTable::create_file(64).value();
    ipc::WorkerAdd facts;
    facts.worker_id = static_cast<std::uint32_t>(workers_.size() + 1);
    facts.slots = slots;
    facts.whole_requests = whole;
    facts.generation = generation;
    facts.standby = standby;
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
    exchange.head.raw_path = request.path = path;
    exchange.path = std::move(path);
    exchange.script_path = exchange.path;
    exchange.request_id = "test";
    exchange.route_timeout = route_timeout_;
    exchange.route_max_time = route_max_time_;
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

  struct TextSink final : LogSink {
    void write_line(std::string_view line) override { text += line; }
    std::string text;
  } sink_;
  config::Config config_;
  config::App app_;
  std::optional<config::Milliseconds> route_timeout_, route_max_time_;  // of the next requests
  std::unique_ptr<EdgeServices> services_;
  std::unique_ptr<Upstream> upstream_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<std::uint32_t> idle_;
  std::vector<std::uint32_t> lost_;
  std::vector<std::pair<std::uint32_t, std::string>> overdue_;
};

}  // namespace saola::proxy
