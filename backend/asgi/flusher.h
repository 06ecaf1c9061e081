// Flusher: one channel.flush() per turn of the event loop, however many answers are queued in it.
#pragma once

#include "backend/asgi/py_loop.h"
#include "backend/request_channel.h"

namespace saola::backend::asgi {

class Flusher {
 public:
  Flusher(RequestChannel& channel, PyLoop& loop) : channel_(channel), loop_(loop) {}
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;

  // False with an exception set. Once, before soon().
  bool prepare() {
    callback_ = steal(make_callback<&Flusher::flush>(this));
    return static_cast<bool>(callback_);
  }

  // Flushes when the callbacks that are ready now have run. What cannot be scheduled (the loop is
  // closed) is flushed at once. No exception may be pending.
  void soon() {
    if (scheduled_) return;
    scheduled_ = true;
    if (loop_.call_soon(callback_.ptr())) return;
    PyErr_Clear();
    flush();
  }

 private:
  void flush() {
    scheduled_ = false;
    channel_.flush();
  }

  RequestChannel& channel_;
  PyLoop& loop_;
  py::object callback_;
  bool scheduled_ = false;
};

}  // namespace saola::backend::asgi
