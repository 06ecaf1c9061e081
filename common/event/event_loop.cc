#include "common/event/event_loop.h"

#include <sys/eventfd.h>

#include "common/core/check.h"

namespace saola {

EventLoop::EventLoop() {
  CPtr<event_config, event_config_free> config(event_config_new());
  SAOLA_CHECK(config);
  // One thread touches the base; no locks. Precise time keeps short timers honest.
  event_config_set_flag(config.get(), EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
  base_.reset(event_base_new_with_config(config.get()));
  SAOLA_CHECK(base_);
  post_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  SAOLA_CHECK(post_fd_);
  post_event_.reset(event_new(base_.get(), post_fd_.get(), EV_READ | EV_PERSIST, on_posted, this));
  SAOLA_CHECK(post_event_ && event_add(post_event_.get(), nullptr) == 0);
}

EventLoop::~EventLoop() { garbage_.clear(); }

void EventLoop::run() {
  stopping_ = false;
  while (!stopping_) turn(EVLOOP_ONCE);
}

void EventLoop::run_once(std::chrono::milliseconds limit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  timeval wait{};
  wait.tv_sec = seconds.count();
  wait.tv_usec = std::chrono::microseconds(limit - seconds).count();
  event_base_loopexit(base_.get(), &wait);
  turn(EVLOOP_ONCE);
}

void EventLoop::turn(int flags) {
  if (poll_only_) flags |= EVLOOP_NONBLOCK;
  poll_only_ = false;
  event_base_loop(base_.get(), flags);
  for (auto& hook : hooks_) hook();
  // Destructors may give more to delete_later().
  while (!garbage_.empty()) {
    auto dying = std::move(garbage_);
    garbage_.clear();
  }
  now_valid_ = false;
}

void EventLoop::post(std::function<void()> task) {
  {
    const std::lock_guard lock(post_mutex_);
    posted_.push_back(std::move(task));
  }
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  [[maybe_unused]] const auto written = ::write(post_fd_.get(), &one, sizeof one);
}

void EventLoop::on_posted(evutil_socket_t fd, short, void* self) noexcept {
  auto& loop = *static_cast<EventLoop*>(self);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd, &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(loop.post_mutex_);
    tasks.swap(loop.posted_);
  }
  for (auto& task : tasks) task();
}

}  // namespace saola
