// LogFan: one log with all its destinations: a file (or what the operator gave for one), a syslog
// server, journald. Each has a writer and a bound of its own, so that none waits for another.
//
// Lines and records may come from any thread (Threads::kOwn), plan() and what follows it in the
// class from one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "common/core/log_writer.h"
#include "common/core/unique_fd.h"

namespace saola {

// Where a log goes, and how it is written there.
struct LogPlan {
  bool file = true;
  RecordStyle file_style = {};
  DropNote note = nullptr;  // of the file
  struct Server {
    LogAddress address;
    RecordStyle style;
    bool operator==(const Server&) const = default;
  };
  std::optional<Server> syslog = {};
  std::optional<Server> journal = {};
};

class LogFan final : public LogSink {
 public:
  // Whether writers may have threads.
  enum class Threads : std::uint8_t { kOwn, kNone };

  // `capacity_bytes`: of each destination.
  LogFan(Threads threads, std::size_t capacity_bytes);
  // A log that goes into `file` alone, as text, until plan() says more.
  LogFan(Threads threads, std::size_t capacity_bytes, UniqueFd file);

  // `file` is a new one for the file's writer, or invalid: it goes on with the one that it has.
  // Connections to servers that stay the same are made anew if `reopen`.
  void plan(const LogPlan& plan, UniqueFd file, bool reopen);
  // The same plan with a new file and new connections (log rotation).
  void reopen(UniqueFd file);
  // Gives up every destination, with what waits, which is another process's to write: after
  // fork(2), of a log without threads.
  void forget();

  void write_line(std::string_view line) override;
  void write_record(const LogRecord& record) override;

  // Waits until everything is written, or `limit` has passed; says which.
  bool drain(std::chrono::milliseconds limit);
  std::uint64_t dropped_lines() const;
  // Threads::kNone: see LogWriter.
  bool waiting() const;
  void flush();

 private:
  struct Server {
    LogPlan::Server plan;
    std::shared_ptr<LogWriter> writer;
  };
  using Writers = std::vector<std::shared_ptr<LogWriter>>;

  std::shared_ptr<LogWriter> make_writer(std::unique_ptr<LogOutlet> outlet, RecordStyle style,
                                         DropNote note) const;
  void plan_server(std::optional<Server>& server, const std::optional<LogPlan::Server>& wanted,
                   bool reopen);
  void publish();
  std::shared_ptr<const Writers> writers() const;

  const Threads threads_;
  const std::size_t capacity_;
  LogPlan plan_;
  std::shared_ptr<LogWriter> file_;
  std::optional<Server> syslog_;
  std::optional<Server> journal_;
  std::uint64_t dropped_before_ = 0;  // by writers that are no more

  mutable std::mutex mutex_;  // of writers_ alone
  std::shared_ptr<const Writers> writers_;
};

}  // namespace saola
