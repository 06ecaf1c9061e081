// Sentences about keys, the same wherever a setting comes from, and the one way to set a key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/config/config_schema.h"

namespace saola::config {

// The table as its user wrote it: "[limits]", "[[listen]]", "[apps.web]". `dotted` is the place.
std::string title_of(const Table& table, std::string_view dotted);

// "in [limits]", "at the top level".
std::string in_title(std::string_view title);

// "unknown key 'worker' in [app]; did you mean 'workers'?", or where the key belongs.
std::string unknown_key(const Table& table, std::string_view title, std::string_view name);

// Sets the key; otherwise the whole message: "'threads' in [app] must be ..., not 0", or that this
// version cannot do it yet.
std::optional<std::string> set_key(const Key& key, std::string_view title, void* object,
                                   const Value& value);

}  // namespace saola::config
