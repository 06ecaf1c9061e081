// The receive and send callables that an application gets for an HTTP request: small native objects
// that hold their exchange, so they may be kept and called after the request is over.
#pragma once

#include "backend/asgi/exchange.h"

namespace saola::backend::asgi {

// All set a Python exception when they return false or null.
bool prepare_channel_types();
PyObject* new_receive(Exchange& exchange);
PyObject* new_send(Exchange& exchange);

}  // namespace saola::backend::asgi
