// FilePool: the edge's few threads for file work that may block (spool writes and reads).
//
// A job runs in one of the threads; what it returns is called in the loop's thread. Jobs own what
// they touch: nothing of the edge is used from a thread. Bounded: submit() refuses when too many
// jobs wait.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "common/event/event_loop.h"

namespace saola::proxy {

class FilePool {
 public:
  using Done = std::function<void()>;
  using Job = std::function<Done()>;

  FilePool(EventLoop& loop, std::size_t threads, std::size_t max_waiting);
  ~FilePool();  // finishes running jobs, drops waiting ones and their Done
  FilePool(const FilePool&) = delete;
  FilePool& operator=(const FilePool&) = delete;

  // False: too many jobs wait already; the job was not taken.
  [[nodiscard]] bool submit(Job job);

 private:
  void run();

  EventLoop& loop_;
  const std::size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace saola::proxy
