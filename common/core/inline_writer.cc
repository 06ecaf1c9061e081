#include "common/core/inline_writer.h"

#include <utility>

namespace saola {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPause{250};  // between two attempts at an outlet that is down

}  // namespace

InlineWriter::InlineWriter(std::unique_ptr<LogOutlet> outlet, RecordStyle style,
                           std::size_t capacity_bytes, DropNote note)
    : outlet_(std::move(outlet)),
      style_(std::move(style)),
      capacity_(capacity_bytes),
      note_(note) {}

void InlineWriter::write_line(std::string_view line) {
  scratch_.clear();
  const std::size_t lines = append_lines(scratch_, line, style_);
  take(scratch_, lines);
}

void InlineWriter::write_record(const LogRecord& record) {
  scratch_.clear();
  append_record(scratch_, record, style_);
  take(scratch_, 1);
}

void InlineWriter::take(std::string_view bytes, std::size_t lines) {
  flush();  // may make room
  if (queue_.size() - sent_ + bytes.size() > capacity_) {
    dropped_ += lines;
    unreported_ += lines;
    return;
  }
  queue_ += bytes;
  flush();
}

void InlineWriter::replace(std::unique_ptr<LogOutlet> outlet) {
  flush();
  outlet_ = std::move(outlet);
  not_before_ = {};
  if (!style_.framed() && sent_ > 0) {  // a line that the old file has in part is repeated
    const std::size_t line_end = queue_.rfind('\n', sent_ - 1);
    sent_ = line_end == std::string::npos ? 0 : line_end + 1;
  }
  flush();
}

void InlineWriter::set_style(RecordStyle style, DropNote note) {
  style_ = std::move(style);
  note_ = note;
}

void InlineWriter::flush() {
  if (waiting() && Clock::now() >= not_before_) static_cast<void>(write_what_fits());
}

LogOutlet::State InlineWriter::write_what_fits() {
  for (;;) {
    if (sent_ == queue_.size()) {
      queue_.clear();
      sent_ = 0;
      if (unreported_ == 0) return LogOutlet::State::kOk;
      queue_ = make_drop_note(std::exchange(unreported_, 0), style_, note_);
    }
    const auto outcome = outlet_->write(std::string_view(queue_).substr(sent_));
    sent_ += outcome.taken;
    if (outcome.state == LogOutlet::State::kOk) continue;
    if (outcome.state == LogOutlet::State::kDown) not_before_ = Clock::now() + kPause;
    queue_.erase(0, style_.framed() ? sent_ : 0);
    if (style_.framed()) sent_ = 0;
    return outcome.state;
  }
}

bool InlineWriter::drain(milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (waiting()) {
    const LogOutlet::State state = write_what_fits();
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (state == LogOutlet::State::kOk) continue;
    if (left.count() <= 0 || state == LogOutlet::State::kDown) return false;
    static_cast<void>(outlet_->wait(left));
  }
  return true;
}

}  // namespace saola
