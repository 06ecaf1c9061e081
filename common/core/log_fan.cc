#include "common/core/log_fan.h"

#include <algorithm>
#include <utility>

#include "common/core/inline_writer.h"
#include "common/core/line_writer.h"

namespace saola {

LogFan::LogFan(Threads threads, std::size_t capacity_bytes)
    : threads_(threads), capacity_(capacity_bytes), writers_(std::make_shared<Writers>()) {}

LogFan::LogFan(Threads threads, std::size_t capacity_bytes, UniqueFd file)
    : LogFan(threads, capacity_bytes) {
  plan({}, std::move(file), false);
}

std::shared_ptr<LogWriter> LogFan::make_writer(std::unique_ptr<LogOutlet> outlet, RecordStyle style,
                                               DropNote note) const {
  if (threads_ == Threads::kNone) {
    return std::make_shared<InlineWriter>(std::move(outlet), std::move(style), capacity_, note);
  }
  return std::make_shared<LineWriter>(std::move(outlet), std::move(style), capacity_, note);
}

void LogFan::plan(const LogPlan& plan, UniqueFd file, bool reopen) {
  plan_ = plan;
  const auto gone = [this](const std::shared_ptr<LogWriter>& writer) {
    if (writer) dropped_before_ += writer->dropped_lines();
  };
  if (!plan.file) {
    gone(file_);
    file_.reset();
  } else if (file_) {
    file_->set_style(plan.file_style, plan.note);
    if (file) file_->replace(make_file_outlet(std::move(file)));
  } else if (file) {
    file_ = make_writer(make_file_outlet(std::move(file)), plan.file_style, plan.note);
  }
  plan_server(syslog_, plan.syslog, reopen);
  plan_server(journal_, plan.journal, reopen);
  publish();
}

void LogFan::reopen(UniqueFd file) {
  const LogPlan same = plan_;
  plan(same, std::move(file), true);
}

void LogFan::forget() {
  file_.reset();
  syslog_.reset();
  journal_.reset();
  publish();
}

void LogFan::plan_server(std::optional<Server>& server,
                         const std::optional<LogPlan::Server>& wanted, bool reopen) {
  if (!wanted) {
    if (server) dropped_before_ += server->writer->dropped_lines();
    server.reset();
    return;
  }
  const auto connect = [&] {
    return make_socket_outlet(wanted->address, threads_ == Threads::kOwn);
  };
  if (!server) {
    server = Server{*wanted, make_writer(connect(), wanted->style, nullptr)};
    return;
  }
  if (reopen || !(server->plan.address == wanted->address)) server->writer->replace(connect());
  server->writer->set_style(wanted->style, nullptr);
  server->plan = *wanted;
}

void LogFan::publish() {
  auto all = std::make_shared<Writers>();
  if (file_) all->push_back(file_);
  if (syslog_) all->push_back(syslog_->writer);
  if (journal_) all->push_back(journal_->writer);
  const std::lock_guard lock(mutex_);
  writers_ = std::move(all);
}

std::shared_ptr<const LogFan::Writers> LogFan::writers() const {
  const std::lock_guard lock(mutex_);
  return writers_;
}

void LogFan::write_line(std::string_view line) {
  for (const auto& writer : *writers()) writer->write_line(line);
}

void LogFan::write_record(const LogRecord& record) {
  for (const auto& writer : *writers()) writer->write_record(record);
}

bool LogFan::drain(std::chrono::milliseconds limit) {
  bool all = true;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (const auto& writer : *writers()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    all = writer->drain(std::max(left, std::chrono::milliseconds(0))) && all;
  }
  return all;
}

std::uint64_t LogFan::dropped_lines() const {
  std::uint64_t dropped = dropped_before_;
  for (const auto& writer : *writers()) dropped += writer->dropped_lines();
  return dropped;
}

bool LogFan::waiting() const {
  for (const auto& writer : *writers()) {
    if (writer->waiting()) return true;
  }
  return false;
}

void LogFan::flush() {
  for (const auto& writer : *writers()) writer->flush();
}

}  // namespace saola
