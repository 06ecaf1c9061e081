// Loads a text as if it stood in saola.toml.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/config/config_loader.h"

namespace saola::config {

inline Result<Config, std::vector<Problem>> load(std::string text,
                                                 EnvironmentView environment = {}) {
  return load_config({"saola.toml", std::move(text), std::move(environment)});
}

// As they are printed; empty if there are none.
inline std::vector<std::string> lines(const std::vector<Problem>& problems) {
  std::vector<std::string> out;
  for (const Problem& problem : problems) out.push_back(to_string(problem));
  return out;
}

inline std::vector<std::string> problems(std::string text, EnvironmentView environment = {}) {
  auto loaded = load(std::move(text), std::move(environment));
  return loaded ? std::vector<std::string>{} : lines(loaded.error());
}

// The Config of a text that is right; the test fails if it is not.
inline Config loaded(std::string text, EnvironmentView environment = {}) {
  auto result = load(std::move(text), std::move(environment));
  if (result) return *result;
  for (const std::string& line : lines(result.error())) ADD_FAILURE() << line;
  return {};
}

inline const std::string kApp = "[app]\ntarget = \"app:application\"\n";

}  // namespace saola::config
