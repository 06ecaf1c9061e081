// Runs a suite of AsgiTest on asyncio's loop and on uvloop.
#pragma once

#include "asgi_fixture.h"

#define SAOLA_ON_BOTH_LOOPS(suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(                                                                   \
      Loops, suite, testing::Values(config::AsyncLoop::kAsyncio, config::AsyncLoop::kUvloop), \
      [](const auto& loop) {                                                                  \
        return loop.param == config::AsyncLoop::kAsyncio ? "Asyncio" : "Uvloop";              \
      })
