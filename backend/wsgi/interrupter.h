// Interrupter: ends what a WSGI thread does for a request whose time is up, by an exception in it.
//
// The edge's ABORT is received by whoever receives at that moment, mostly the helper thread,
// without the GIL. From there on there are two ways:
//   main thread      a real-time signal, whose Python handler raises. It also breaks a blocking
//   call
//                    of Python's off (time.sleep(), recv(): PEP 475), which nothing else does.
//   other threads    a thread of this class's own takes the GIL and asks CPython to raise in them
//                    (PyThreadState_SetAsyncExc); a blocking call has to return first.
// Code in C that never comes back to Python hears of neither; its worker is replaced
// (timeout_grace).
//
// The exception is saola.RequestTimeout, a BaseException as asyncio.CancelledError and
// gevent.Timeout are: `except Exception`, which frameworks make a 500 of and applications retry on,
// lets it pass, while `finally` and `with` still clean up. It is raised once per request, and only
// between a Scope's enter() and leave(): one that comes late is dropped, not raised in the next
// request.
#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "backend/py_handles.h"
#include "backend/request_channel.h"

namespace saola::backend::wsgi {

class Interrupter {
 public:
  // `channel` outlives this.
  explicit Interrupter(RequestChannel& channel) : channel_(channel) {}
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  // GIL held; no Scope is left.
  ~Interrupter();

  // Once, on the main thread, GIL held. `threads`: of the application, the main one included.
  Result<void> start(int threads);

  // The exception's class; borrowed.
  PyObject* exception() const { return exception_.ptr(); }

  // One request in the thread that runs it. GIL held at enter() and leave().
  class Scope {
   public:
    Scope(Interrupter& owner, const RequestStream& stream) : owner_(owner), stream_(stream) {}
    ~Scope() { leave(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // False, with the exception pending: the time is up already.
    bool enter();
    // Nothing is raised from here on. What is pending stays so.
    void leave();

   private:
    friend class Interrupter;
    Interrupter& owner_;
    const RequestStream& stream_;
    bool active_ = false;
    bool raised_ = false;
  };

 private:
  Result<void> install_handler();
  static PyObject* on_signal(PyObject* self, PyObject* const* args, Py_ssize_t count);
  bool is_main(const Scope& scope) const { return scope.stream_.thread == main_id_; }
  void notify(const RequestStream& stream);  // no GIL
  void run();                                // the thread
  void raise_in_threads();

  RequestChannel& channel_;
  py::object exception_;
  std::vector<Scope*> scopes_;  // active ones; under the GIL
  pthread_t main_thread_{};
  unsigned long main_id_ = 0;
  std::atomic<bool> ever_notified_{false};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool due_ = false;       // under mutex_
  bool stopping_ = false;  // under mutex_
  std::thread thread_;     // if there are other threads than the main one
};

}  // namespace saola::backend::wsgi
