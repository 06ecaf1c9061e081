#include "proxy/file_pool.h"

#include <csignal>

namespace saola::proxy {

FilePool::FilePool(EventLoop& loop, std::size_t threads, std::size_t max_waiting)
    : loop_(loop), max_waiting_(max_waiting) {
  // Signals are the loop's business: the threads inherit a mask that blocks them all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

FilePool::~FilePool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  work_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool FilePool::submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= max_waiting_) return false;
    jobs_.push_back(std::move(job));
  }
  work_.notify_one();
  return true;
}

void FilePool::run() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    if (Done done = job()) loop_.post(std::move(done));
  }
}

}  // namespace saola::proxy
