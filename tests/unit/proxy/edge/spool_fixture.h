// A loop, a file pool and a temporary directory for tests of what is stored on disk.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "proxy/file_pool.h"
#include "proxy/spool_file.h"

namespace saola::proxy {

class SpoolFixture : public ::testing::Test {
 protected:
  ~SpoolFixture() override { std::filesystem::remove_all(directory_); }

  // Runs the loop until `condition` holds; false after ten seconds.
  bool run_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.run_once(std::chrono::milliseconds(100));
    }
    return true;
  }

  static std::string make_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "saola-test-XXXXXX").string();
    return ::mkdtemp(name.data());
  }

  std::string directory_ = make_directory();
  EventLoop loop_;
  FilePool pool_{loop_, 2, 64};
  SpoolSpace space_{directory_, 64U << 20};
};

// Bytes that differ everywhere, so that lost or doubled pieces show.
inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string text(size, '\0');
  unsigned value = seed;
  for (auto& c : text) {
    value = value * 1664525U + 1013904223U;
    c = static_cast<char>(value >> 24);
  }
  return text;
}

}  // namespace saola::proxy
