// WsgiCall: one request after another through a WSGI application, with PEP 3333's rules for the
// answer.
//
// The head leaves with the first non-empty piece of the body, or at its end. The length is the
// application's Content-Length, or known because the answer is a list; otherwise the edge frames
// what comes. More bytes than Content-Length are cut, fewer break the answer off; both are logged.
// An exception before the head left is a plain 500, after it the answer is broken off. close() is
// always called. A request whose time is up is interrupted (interrupter.h).
//
// One object per thread, used for one request at a time, with the GIL held; it is let go while
// waiting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backend/app_log.h"
#include "backend/hooks.h"
#include "backend/py_handles.h"
#include "backend/request_channel.h"
#include "backend/wsgi/environ.h"
#include "backend/wsgi/interrupter.h"
#include "backend/wsgi/response_head.h"
#include "backend/wsgi/start_response.h"

namespace saola::backend::wsgi {

class WsgiCall final : public AnswerOwner {
 public:
  // All references outlive this.
  WsgiCall(RequestChannel& channel, EnvironFactory& environs, Interrupter& interrupter,
           const AppLog& app_log, const Logger& log, PyObject* application, Hooks* hooks);

  // Runs a claimed request to its end, channel.finish() included. Nothing is pending afterwards.
  void run(RequestStream& stream);

  bool start_response(PyObject* status, PyObject* headers, PyObject* exc_info) override;
  bool write(PyObject* data) override;

 private:
  bool call_in_time();
  bool call_application();
  bool prepare_input();
  // All bool results: false means that an exception is pending.
  bool send_result(PyObject* result);
  bool send_items(PyObject* sequence);
  bool send_iterable(PyObject* iterable);
  bool send_piece(PyObject* piece);
  bool send_file(PyObject* wrapper, bool& sent);
  void close_result(PyObject* result);
  bool require_head();

  // Body bytes; `last`: none follow. May wait for the client, without the GIL.
  void put(std::string_view data, bool last);
  std::size_t put_some(std::string_view data, bool end);
  void put_rest(std::string_view data, bool end);
  void put_head_alone();
  void complete();
  void flush_now();

  void end_hooks();
  void application_failed();
  void answer_plain(std::uint16_t status, std::string_view text);
  std::string heading() const;
  std::string_view request_id() const { return stream_->request.meta.request_id; }
  bool bodyless() const { return is_head_request_ || head_.forbids_body(); }

  RequestChannel& channel_;
  EnvironFactory& environs_;
  Interrupter& interrupter_;
  const AppLog& app_log_;
  const Logger& log_;
  PyObject* application_;  // borrowed
  Hooks* hooks_;           // null: none
  Callables callables_;

  // The request at hand.
  RequestStream* stream_ = nullptr;
  py::object input_;
  py::object hook_request_;  // between the hooks of a request
  ResponseHead head_;
  bool is_head_request_ = false;
  bool head_sent_ = false;
  bool ended_ = false;     // the last byte is on its way, or the answer is broken off
  bool cut_ = false;       // the application gave more than its Content-Length
  std::int64_t sent_ = 0;  // body bytes
};

}  // namespace saola::backend::wsgi
