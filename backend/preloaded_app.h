// PreloadedApp: Python with the application imported, in the main thread: what a zygote makes and
// the workers forked from it go on with.
#pragma once

#include "backend/app_loader.h"
#include "backend/app_log.h"
#include "backend/interpreter.h"

namespace saola::backend {

// In the order of their making; they go in the opposite one, with the GIL held.
struct PreloadedApp {
  Interpreter interpreter;
  AppLog app_log;
  LoadedApp app;
};

}  // namespace saola::backend
