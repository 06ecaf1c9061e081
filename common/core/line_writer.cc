#include "common/core/line_writer.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
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

}  // namespace

// Lock order: one mutex. `batch`, `batch_sent` and `outlet` belong to the thread alone; everything
// else is under the mutex, but for the counter.
struct LineWriter::State {
  State(std::unique_ptr<LogOutlet> first, RecordStyle form, std::size_t bytes, DropNote note)
      : capacity(bytes),
        framed(form.framed()),
        style(std::move(form)),
        drop_note(note),
        outlet(std::move(first)) {}

  const std::size_t capacity;
  const bool framed;
  std::atomic<std::uint64_t> dropped{0};

  std::mutex mutex;
  std::condition_variable work;  // for the thread
  std::condition_variable done;  // for drain() and the destructor
  RecordStyle style;
  DropNote drop_note;
  std::string queue;
  std::size_t batch_left = 0;    // bytes of the batch that wait as well
  std::uint64_t unreported = 0;  // dropped lines that no line in the file tells of
  std::uint64_t taken = 0;       // bytes ever taken
  std::uint64_t written = 0;     // of those
  std::unique_ptr<LogOutlet> next_outlet;
  int drains = 0;
  bool sleeping = false;  // the thread waits for a first line
  bool stopping = false;
  bool finished = false;
  SteadyTime stop_by;
  std::thread thread;

  std::string batch;
  std::size_t batch_sent = 0;
  std::unique_ptr<LogOutlet> outlet;

  void run();
  bool take_batch();
  void write_batch();
  void switch_outlet();
  bool wait_for_room();
  bool back_off(milliseconds& pause);
  bool hurried() const { return stopping || drains > 0 || queue.size() > capacity / 2; }
};

LineWriter::LineWriter(UniqueFd fd, std::size_t capacity_bytes, DropNote note)
    : LineWriter(make_file_outlet(std::move(fd)), {}, capacity_bytes, note) {}

LineWriter::LineWriter(std::unique_ptr<LogOutlet> outlet, RecordStyle style,
                       std::size_t capacity_bytes, DropNote note)
    : state_(std::make_shared<State>(std::move(outlet), std::move(style), capacity_bytes, note)),
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
  if (!state_->framed) {
    return take(line, static_cast<std::size_t>(std::count(line.begin(), line.end(), '\n')));
  }
  thread_local std::string framed;
  framed.clear();
  const std::size_t lines = [&] {
    const std::lock_guard lock(state_->mutex);
    return append_lines(framed, line, state_->style);
  }();
  take(framed, lines);
}

void LineWriter::write_record(const LogRecord& record) {
  thread_local std::string text;
  if (text.capacity() > kKeepCapacity) text = std::string();
  text.clear();
  {
    const std::lock_guard lock(state_->mutex);
    append_record(text, record, state_->style);
  }
  take(text, 1);
}

// The counts are of lines, the bounds of bytes.
void LineWriter::take(std::string_view bytes, std::size_t lines) {
  State& s = *state_;
  bool wake = false;
  {
    const std::lock_guard lock(s.mutex);
    if (s.queue.size() + s.batch_left + bytes.size() > s.capacity) {
      s.unreported += lines;
      s.dropped.fetch_add(lines, std::memory_order_relaxed);
      return;
    }
    const bool was_hurried = s.hurried();
    s.queue.append(bytes);
    s.taken += bytes.size();
    wake = s.sleeping || (!was_hurried && s.hurried());
    s.sleeping = false;
  }
  if (wake) s.work.notify_one();
}

void LineWriter::replace(std::unique_ptr<LogOutlet> outlet) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->next_outlet = std::move(outlet);
  }
  state_->work.notify_one();
}

void LineWriter::set_style(RecordStyle style, DropNote note) {
  const std::lock_guard lock(state_->mutex);
  state_->style = std::move(style);
  state_->drop_note = note;
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
    // No line went into it since: the old one is complete.
    if (next_outlet) outlet = std::move(next_outlet);
    sleeping = true;
    work.wait(lock, [this] { return !queue.empty() || unreported > 0 || stopping || next_outlet; });
    sleeping = false;
  }
  if (!hurried()) work.wait_for(lock, kGather, [this] { return hurried(); });
  if (batch.capacity() > kKeepCapacity) batch = std::string();
  batch.clear();
  batch.swap(queue);
  if (unreported > 0) batch += make_drop_note(std::exchange(unreported, 0), style, drop_note);
  batch_left = batch.size();
  batch_sent = 0;
  if (next_outlet) outlet = std::move(next_outlet);
  return true;
}

// Writes the batch, however long that takes; gives up only when asked to stop.
void LineWriter::State::write_batch() {
  milliseconds pause = kFirstBackoff;
  bool going = true;
  while (going && batch_sent < batch.size()) {
    {
      const std::lock_guard lock(mutex);
      if (next_outlet) switch_outlet();
    }
    const auto outcome = outlet->write(std::string_view(batch).substr(batch_sent));
    if (outcome.taken > 0) {
      batch_sent += outcome.taken;
      pause = kFirstBackoff;
      const std::lock_guard lock(mutex);
      batch_left = batch.size() - batch_sent;
    } else if (outcome.state == LogOutlet::State::kFull) {
      going = wait_for_room();
    } else if (outcome.state == LogOutlet::State::kDown) {
      going = back_off(pause);
    }
  }
  const std::lock_guard lock(mutex);
  batch_left = 0;
  if (going) written = taken - queue.size();
  done.notify_all();
}

// Called with the mutex held. A line that the old file has in part is repeated in the new one.
void LineWriter::State::switch_outlet() {
  outlet = std::move(next_outlet);
  if (framed || batch_sent == 0) return;  // framed records are taken whole
  const std::size_t line_end = batch.rfind('\n', batch_sent - 1);
  batch_sent = line_end == std::string::npos ? 0 : line_end + 1;
}

bool LineWriter::State::wait_for_room() {
  if (outlet->wait(kPollTurn)) return true;
  const std::lock_guard lock(mutex);
  return !stopping || std::chrono::steady_clock::now() < stop_by;
}

bool LineWriter::State::back_off(milliseconds& pause) {
  std::unique_lock lock(mutex);
  work.wait_for(lock, pause, [this] { return stopping || next_outlet != nullptr; });
  pause = std::min(pause * 2, kLastBackoff);
  return !stopping;
}

}  // namespace saola
