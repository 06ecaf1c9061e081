#include "backend/wsgi/interrupter.h"

#include <signal.h>

#include <algorithm>

namespace saola::backend::wsgi {
namespace {

// A real-time signal that neither the C library nor common runtimes use.
int interrupt_signal() { return SIGRTMIN + 11; }

constexpr const char* kDoc =
    "The request has run longer than request_timeout or request_max_time allows; its client has "
    "been answered with 504.";

unsigned long id_of(pthread_t thread) { return static_cast<unsigned long>(thread); }

}  // namespace

Interrupter::~Interrupter() {
  channel_.on_timeout({});
  // One that is still on its way must not end the process.
  if (main_id_ != 0) ::signal(interrupt_signal(), SIG_IGN);
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  const GilRelease released;  // it may be waiting for the GIL
  thread_.join();
}

Result<void> Interrupter::start(int threads) {
  exception_ =
      steal(PyErr_NewExceptionWithDoc("saola.RequestTimeout", kDoc, PyExc_BaseException, nullptr));
  if (!exception_) return python_failure();
  if (auto installed = install_handler(); !installed) return installed;
  main_thread_ = ::pthread_self();
  main_id_ = id_of(main_thread_);
  if (threads > 1) {
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  channel_.on_timeout([this](const RequestStream& stream) { notify(stream); });
  return {};
}

// By Python's own signal module: its C handler is the one that Python's blocking calls look at.
Result<void> Interrupter::install_handler() {
  static PyMethodDef method = {
      "on_request_timeout",
      reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Interrupter::on_signal)),
      METH_FASTCALL, nullptr};
  const auto self = steal(PyCapsule_New(this, nullptr, nullptr));
  const auto handler = self ? steal(PyCFunction_New(&method, self.ptr())) : py::object();
  const auto module = handler ? steal(PyImport_ImportModule("signal")) : py::object();
  if (!module || !steal(PyObject_CallMethod(module.ptr(), "signal", "iO", interrupt_signal(),
                                            handler.ptr()))) {
    return python_failure();
  }
  return {};
}

// --- from the channel, in any thread, without the GIL
// ---------------------------------------------

void Interrupter::notify(const RequestStream& stream) {
  ever_notified_.store(true, std::memory_order_release);
  if (stream.thread == main_id_) {
    ::pthread_kill(main_thread_, interrupt_signal());
    return;
  }
  const std::lock_guard lock(mutex_);
  due_ = true;
  changed_.notify_one();
}

// --- the main thread
// --------------------------------------------------------------------------------

PyObject* Interrupter::on_signal(PyObject* self, PyObject* const*, Py_ssize_t) {
  auto& owner = *static_cast<Interrupter*>(PyCapsule_GetPointer(self, nullptr));
  for (Scope* scope : owner.scopes_) {
    if (!owner.is_main(*scope) || scope->raised_) continue;
    if (!owner.channel_.is_timed_out(scope->stream_)) continue;
    scope->raised_ = true;
    PyErr_SetNone(owner.exception_.ptr());
    return nullptr;
  }
  Py_RETURN_NONE;
}

// --- the other threads
// ------------------------------------------------------------------------------

void Interrupter::run() {
  pthread_setname_np(pthread_self(), "saola-timeout");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return due_ || stopping_; });
    if (stopping_) return;
    due_ = false;
    lock.unlock();
    raise_in_threads();
    lock.lock();
  }
}

void Interrupter::raise_in_threads() {
  const GilEnsure gil;
  for (Scope* scope : scopes_) {
    if (is_main(*scope) || scope->raised_ || !channel_.is_timed_out(scope->stream_)) continue;
    scope->raised_ = true;
    PyThreadState_SetAsyncExc(scope->stream_.thread, exception_.ptr());
  }
}

// --- Scope
// ------------------------------------------------------------------------------------------

bool Interrupter::Scope::enter() {
  owner_.scopes_.push_back(this);
  active_ = true;
  // It may have come before this scope was there to be seen.
  if (!owner_.ever_notified_.load(std::memory_order_acquire)) return true;
  if (raised_ || !owner_.channel_.is_timed_out(stream_)) return true;
  raised_ = true;
  PyErr_SetNone(owner_.exception_.ptr());
  return false;
}

void Interrupter::Scope::leave() {
  if (!std::exchange(active_, false)) return;
  std::erase(owner_.scopes_, this);
  // Asked for, perhaps not raised yet.
  if (raised_ && !owner_.is_main(*this)) PyThreadState_SetAsyncExc(stream_.thread, nullptr);
}

}  // namespace saola::backend::wsgi
