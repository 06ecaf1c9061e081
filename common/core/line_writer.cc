#include "common/core/line_writer.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace saola {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr milliseconds kGather{5};  // lines of this long leave in one write
constexpr milliseconds kPollTurn{
    100};  // how soon a blocked writer sees a new descriptor or the end
constexpr milliseconds kFirstBackoff{20};
constexpr milliseconds kLastBackoff{1000};
constexpr std::size_t kKeepCapacity = std::size_t{256} << 10;  // of a buffer, after a burst

bool is_regular_file(int fd) {
  struct stat facts {};
  return ::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

// Where the piece of whole lines at the start of `bytes` ends. A line longer than a piece is one.
std::size_t piece_length(std::string_view bytes, bool regular) {
  if (regular || bytes.size() <= PIPE_BUF) return bytes.size();
  std::size_t end = bytes.rfind('\n', PIPE_BUF - 1);
  if (end == std::string_view::npos) end = bytes.find('\n');
  return end == std::string_view::npos ? bytes.size() : end + 1;
}

}  // namespace

// Lock order: one mutex. `batch`, `batch_sent` and `fd` belong to the thread alone; everything else
// is under the mutex, but for the counter.
struct LineWriter::State {
  State(UniqueFd file, std::size_t bytes, DropNote note)
      : capacity(bytes), drop_note(note), fd(std::move(file)) {}

  const std::size_t capacity;
  const DropNote drop_note;
  std::atomic<std::uint64_t> dropped{0};

  std::mutex mutex;
  std::condition_variable work;  // for the thread
  std::condition_variable done;  // for drain() and the destructor
  std::string queue;
  std::size_t batch_left = 0;    // bytes of the batch that wait as well
  std::uint64_t unreported = 0;  // dropped lines that no line in the file tells of
  std::uint64_t taken = 0;       // bytes ever taken
  std::uint64_t written = 0;     // of those
  UniqueFd next_fd;
  int drains = 0;
  bool sleeping = false;  // the thread waits for a first line
  bool stopping = false;
  bool finished = false;
  SteadyTime stop_by;
  std::thread thread;

  std::string batch;
  std::size_t batch_sent = 0;
  UniqueFd fd;

  void run();
  bool take_batch();
  void write_batch();
  void switch_fd();
  bool wait_writable();
  bool back_off(milliseconds& pause);
  bool hurried() const { return stopping || drains > 0 || queue.size() > capacity / 2; }
};

std::string LineWriter::plain_drop_note(std::uint64_t lines) {
  return fmt::format("{} warning log: {} lines dropped: the log was not written fast enough\n",
                     log_timestamp(), lines);
}

LineWriter::LineWriter(UniqueFd fd, std::size_t capacity_bytes, DropNote drop_note)
    : state_(std::make_shared<State>(std::move(fd), capacity_bytes, drop_note)),
      dropped_(state_->dropped) {
  // Signals are the main thread's. A blocked SIGPIPE also makes write(2) fail with EPIPE.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->thread = std::thread([state = state_] { state->run(); });
  ::pthread_setname_np(state_->thread.native_handle(), "log writer");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LineWriter::~LineWriter() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->stop_by = std::chrono::steady_clock::now() + kCloseGrace;
  state_->work.notify_one();
  const bool finished = state_->done.wait_until(lock, state_->stop_by + kPollTurn,
                                                [this] { return state_->finished; });
  std::thread thread = std::move(state_->thread);
  lock.unlock();
  if (finished) {
    thread.join();
  } else {
    thread.detach();  // inside a write(2) that does not return; it keeps the state alive
  }
}

void LineWriter::write_line(std::string_view line) {
  State& s = *state_;
  bool wake = false;
  {
    const std::lock_guard lock(s.mutex);
    if (s.queue.size() + s.batch_left + line.size() > s.capacity) {
      const auto lines = static_cast<std::uint64_t>(std::count(line.begin(), line.end(), '\n'));
      s.unreported += lines;
      s.dropped.fetch_add(lines, std::memory_order_relaxed);
      return;
    }
    const bool was_hurried = s.hurried();
    s.queue.append(line);
    s.taken += line.size();
    wake = s.sleeping || (!was_hurried && s.hurried());
    s.sleeping = false;
  }
  if (wake) s.work.notify_one();
}

void LineWriter::replace_fd(UniqueFd fd) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->next_fd = std::move(fd);
  }
  state_->work.notify_one();
}

bool LineWriter::drain(milliseconds limit) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const std::uint64_t target = s.taken;
  ++s.drains;
  s.work.notify_one();
  const bool all = s.done.wait_for(lock, limit, [&] { return s.written >= target; });
  --s.drains;
  return all;
}

void LineWriter::State::run() {
  while (take_batch()) write_batch();
  const std::lock_guard lock(mutex);
  finished = true;
  done.notify_all();
}

// Waits for lines and takes them all; false when there are none and will be none.
bool LineWriter::State::take_batch() {
  std::unique_lock lock(mutex);
  while (queue.empty() && unreported == 0) {
    if (stopping) return false;
    if (next_fd) fd = std::move(next_fd);  // no line went into it since: the old one is complete
    sleeping = true;
    work.wait(lock, [this] { return !queue.empty() || unreported > 0 || stopping || next_fd; });
    sleeping = false;
  }
  if (!hurried()) work.wait_for(lock, kGather, [this] { return hurried(); });
  if (batch.capacity() > kKeepCapacity) batch = std::string();
  batch.clear();
  batch.swap(queue);
  if (unreported > 0) batch += drop_note(std::exchange(unreported, 0));
  batch_left = batch.size();
  batch_sent = 0;
  if (next_fd) fd = std::move(next_fd);
  return true;
}

// Writes the batch, however long the file takes; gives up only when asked to stop.
void LineWriter::State::write_batch() {
  bool regular = is_regular_file(fd.get());
  milliseconds pause = kFirstBackoff;
  bool going = true;
  while (going && batch_sent < batch.size()) {
    {
      const std::lock_guard lock(mutex);
      if (next_fd) {
        switch_fd();
        regular = is_regular_file(fd.get());
      }
    }
    // Without a look first, the thread would sit in write(2) on a full pipe and see no new file.
    if (!regular && !wait_writable()) {
      const std::lock_guard lock(mutex);
      going = !stopping || std::chrono::steady_clock::now() < stop_by;
      continue;
    }
    const std::string_view rest = std::string_view(batch).substr(batch_sent);
    const ssize_t n = ::write(fd.get(), rest.data(), piece_length(rest, regular));
    if (n > 0) {
      batch_sent += static_cast<std::size_t>(n);
      pause = kFirstBackoff;
      const std::lock_guard lock(mutex);
      batch_left = batch.size() - batch_sent;
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      going = back_off(pause);  // a full disk, a closed pipe, ...
    }
  }
  const std::lock_guard lock(mutex);
  batch_left = 0;
  if (going) written = taken - queue.size();
  done.notify_all();
}

// Called with the mutex held. A line that the old file has in part is repeated in the new one.
void LineWriter::State::switch_fd() {
  fd = std::move(next_fd);
  if (batch_sent == 0) return;
  const std::size_t line_end = batch.rfind('\n', batch_sent - 1);
  batch_sent = line_end == std::string::npos ? 0 : line_end + 1;
}

bool LineWriter::State::wait_writable() {
  pollfd wait{fd.get(), POLLOUT, 0};
  // POLLERR and POLLHUP count as ready: write(2) then says what is wrong.
  return ::poll(&wait, 1, static_cast<int>(kPollTurn.count())) > 0;
}

bool LineWriter::State::back_off(milliseconds& pause) {
  std::unique_lock lock(mutex);
  work.wait_for(lock, pause, [this] { return stopping || next_fd.valid(); });
  pause = std::min(pause * 2, kLastBackoff);
  return !stopping;
}

}  // namespace saola
