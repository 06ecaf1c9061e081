#include "common/control/control_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace saola::control {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// What changes nothing is not worth a line of the log, `saola top` asks every second.
bool only_looks(const ipc::ControlRequest& request) {
  return std::holds_alternative<ipc::StatusRequest>(request) ||
         std::holds_alternative<ipc::RequestsRequest>(request);
}

ipc::ControlAnswer text_answer(std::string message) {
  return {std::move(message), std::nullopt, std::nullopt};
}

}  // namespace

ControlConnection::ControlConnection(EventLoop& loop, const Logger& log, ControlCommands& commands,
                                     Owner& owner, UniqueFd socket, std::string peer)
    : log_(log),
      commands_(commands),
      owner_(owner),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      watcher_(loop, socket_.get(), on_ready, this),
      timer_(loop, on_timer, this),
      anchor_(std::make_shared<Anchor>(Anchor{this})) {
  watcher_.watch(IoWatcher::kRead);
  timer_.start(kIdleTimeout);
}

ControlConnection::~ControlConnection() { anchor_->connection = nullptr; }

void ControlConnection::refuse(const std::string& reason) {
  closing_ = true;
  answer(fail(reason));
  flush();
}

// ---- in ----------------------------------------------------------------------------------------

void ControlConnection::on_ready(void* self, short what) {
  auto& connection = *static_cast<ControlConnection*>(self);
  if ((what & IoWatcher::kWrite) != 0) connection.flush();
  if ((what & IoWatcher::kRead) != 0 && !connection.closed_) connection.receive();
}

void ControlConnection::on_timer(void* self) { static_cast<ControlConnection*>(self)->close(); }

void ControlConnection::receive() {
  std::array<char, 4096> space;
  const auto got = ::recv(socket_.get(), space.data(), space.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) return;
    return close();
  }
  if (got == 0) {
    ended_ = true;
    // Has it only ended its own direction, or is it gone?
    pollfd state{socket_.get(), 0, 0};
    ::poll(&state, 1, 0);
    if ((state.revents & (POLLHUP | POLLERR)) != 0) return close();
  }
  input_.append(space.data(), static_cast<std::size_t>(got));
  take_requests();
}

void ControlConnection::take_requests() {
  if (taking_) return;
  taking_ = true;
  while (!busy_ && !closing_ && !closed_ && output_.empty()) {
    const std::size_t end = input_.find('\n');
    if (end == std::string::npos) {
      if (input_.size() <= ipc::kMaxControlRequest) break;
      refuse("the request is too long");
      break;
    }
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    handle(line);
    flush();
  }
  taking_ = false;
  if (closed_) return;
  // A last line without an end was not meant to be carried out.
  if (ended_ && !busy_ && output_.empty()) return close();
  update_interest();
}

void ControlConnection::handle(std::string_view line) {
  ++request_;
  const auto request = ipc::parse_control_request(line);
  if (!request) return answer(Unexpected{request.error()});
  if (!only_looks(*request)) {
    log_.info("control socket: {} (by {})", ipc::command_name(*request), peer_);
  }
  busy_ = true;
  timer_.cancel();
  carry_out(*request);
}

void ControlConnection::carry_out(const ipc::ControlRequest& request) {
  std::visit(
      Overloaded{
          [this](const ipc::StatusRequest&) {
            on_done(request_, ipc::ControlAnswer{{}, commands_.status(), std::nullopt});
          },
          [this](const ipc::RequestsRequest&) {
            commands_.inspect([id = request_, weak = std::weak_ptr(anchor_)](
                                  const Result<ipc::EdgeReport>& report) {
              const auto anchor = weak.lock();
              if (!anchor || anchor->connection == nullptr) return;
              auto& self = *anchor->connection;
              if (!report) return self.on_done(id, Unexpected{report.error()});
              self.on_done(id, ipc::ControlAnswer{{}, std::nullopt, *report});
            });
          },
          [this](const ipc::ReloadRequest& m) { commands_.reload(m.rolling, answer_later()); },
          [this](const ipc::ScaleRequest& m) { answer_text(commands_.scale(m.app, m.workers)); },
          [this](const ipc::StopRequest& m) {
            // Answered first: when the server stops at once there is no later.
            answer_text(std::string(m.at_once ? "stops at once" : "stops"));
            flush();
            commands_.stop(m.at_once);
          },
          [this](const ipc::DrainRequest&) { answer_text(commands_.drain()); },
          [this](const ipc::ReopenRequest&) { answer_text(commands_.reopen_logs()); },
          [this](const ipc::StacksRequest& m) { commands_.dump_stacks(m.worker, answer_later()); },
          [this](const ipc::RecycleRequest& m) { commands_.recycle(m.worker, answer_later()); },
          [this](const ipc::UpgradeRequest&) { commands_.upgrade(answer_later()); }},
      request);
}

// ---- out ---------------------------------------------------------------------------------------

ControlCommands::Done ControlConnection::answer_later() {
  return [id = request_, weak = std::weak_ptr(anchor_)](const Result<std::string>& outcome) {
    const auto anchor = weak.lock();
    if (!anchor || anchor->connection == nullptr) return;
    auto& self = *anchor->connection;
    if (!outcome) return self.on_done(id, Unexpected{outcome.error()});
    self.on_done(id, text_answer(*outcome));
  };
}

void ControlConnection::answer_text(const Result<std::string>& outcome) {
  if (!outcome) return on_done(request_, Unexpected{outcome.error()});
  on_done(request_, text_answer(*outcome));
}

void ControlConnection::on_done(std::uint64_t request, const Result<ipc::ControlAnswer>& outcome) {
  if (request != request_ || !busy_ || closed_) return;
  busy_ = false;
  answer(outcome);
  if (taking_) return;  // take_requests() goes on
  flush();
  if (!closed_) take_requests();
}

void ControlConnection::answer(const Result<ipc::ControlAnswer>& answer) {
  output_ += ipc::to_line(answer);
  output_ += '\n';
  timer_.start(kIdleTimeout);
}

void ControlConnection::flush() {
  while (!output_.empty() && !closed_) {
    const auto sent =
        ::send(socket_.get(), output_.data(), output_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      return close();
    }
    output_.erase(0, static_cast<std::size_t>(sent));
  }
  if (closed_) return;
  if (output_.empty() && closing_) return close();
  if (!taking_ && output_.empty() && !busy_) return take_requests();
  update_interest();
}

void ControlConnection::update_interest() {
  // While a command is carried out, reading tells whether its client is still there; what it sends
  // then waits in input_, up to one request's size.
  const bool reads =
      !ended_ && !closing_ && output_.empty() && input_.size() <= ipc::kMaxControlRequest;
  watcher_.watch(static_cast<short>((reads ? IoWatcher::kRead : 0) |
                                    (output_.empty() ? 0 : IoWatcher::kWrite)));
}

void ControlConnection::close() {
  if (std::exchange(closed_, true)) return;
  anchor_->connection = nullptr;
  watcher_.watch(0);
  timer_.cancel();
  owner_.on_closed(*this);
}

}  // namespace saola::control
