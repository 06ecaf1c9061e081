// Makers of the entries of config_schema.cc: one per kind of value. Each binds a member of a struct
// to the form, the range and the messages of its kind. Only config_schema.cc needs this file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/config_schema.h"

namespace saola::config {

// What zero means: a value like others, "off" (then it is accepted below the minimum), or "at
// once".
enum class Zero : std::uint8_t { kNumber, kOff, kAtOnce };

struct Span {
  std::chrono::milliseconds min;
  std::chrono::milliseconds max;
  Zero zero = Zero::kNumber;
};
struct SizeRange {
  std::uint64_t min;
  std::uint64_t max;
  Zero zero = Zero::kNumber;
};
struct Range {
  std::int64_t min;
  std::int64_t max;
};

// What is wrong with a text, or nothing.
using TextCheck = std::optional<std::string> (*)(std::string_view text);
std::optional<std::string> check_nothing(std::string_view text);
std::optional<std::string> check_address(std::string_view text);      // empty is fine
std::optional<std::string> check_trusted(std::string_view text);      // a network
std::optional<std::string> check_short_time(std::string_view text);   // "2.5ms"
std::optional<std::string> check_field_value(std::string_view text);  // of an HTTP field
std::optional<std::string> check_route_host(std::string_view text);
std::optional<std::string> check_route_path(std::string_view text);
std::optional<std::string> check_ready_path(std::string_view text);      // empty is fine
std::optional<std::string> check_syslog_address(std::string_view text);  // empty is fine
std::optional<std::string> check_syslog_facility(std::string_view text);
std::optional<std::string> check_syslog_tag(std::string_view text);

// The makers without a type of object; the templates below add it.
template <class V>
struct Access {
  std::function<void(void*, V)> set;
  std::function<V(const void*)> get;
};
using Words = std::vector<std::string>;

Key text_key(std::string name, std::string accepts, std::string help, TextCheck check,
             Access<std::string> access);
Key number_key(std::string name, Range range, std::string help, Access<std::int64_t> access);
Key number_of_key(std::string name, std::vector<std::int64_t> numbers, std::string help,
                  Access<std::int64_t> access);
Key worker_count_key(std::string name, std::string help, Access<Between> access);
Key flag_key(std::string name, std::string help, Access<bool> access);
Key duration_key(std::string name, Span span, std::string help,
                 Access<std::optional<std::chrono::milliseconds>> access);
Key size_key(std::string name, SizeRange range, std::string help,
             Access<std::optional<std::uint64_t>> access);
Key mode_key(std::string name, std::string help, Access<std::int64_t> access);
Key word_key(std::string name, Words words, std::string help, Access<std::size_t> access);
Key list_key(std::string name, std::string accepts, std::string help, TextCheck check,
             Access<List> access);
Key share_key(std::string name, std::string help, Access<std::uint32_t> access);
Key words_key(std::string name, Words words, std::string help, Access<List> access);
Key map_key(std::string name, std::string help, Access<Map> access);
Key not_yet(std::string name, std::string missing, std::vector<Value> off);

// A member seen as V.
template <class V, class T, class M>
Access<V> member(M T::*pointer) {
  return {[pointer](void* object, V value) {
            static_cast<T*>(object)->*pointer = static_cast<M>(std::move(value));
          },
          [pointer](const void* object) {
            return static_cast<V>(static_cast<const T*>(object)->*pointer);
          }};
}

template <class T>
Key text(std::string name, std::string T::*pointer, std::string help,
         TextCheck check = check_nothing) {
  return text_key(std::move(name), "a string", std::move(help), check,
                  member<std::string>(pointer));
}
template <class T>
Key path(std::string name, std::string T::*pointer, std::string help) {
  return text_key(std::move(name), "a path", std::move(help), check_nothing,
                  member<std::string>(pointer));
}
template <class T>
Key address(std::string name, std::string T::*pointer, std::string help) {
  return text_key(std::move(name), "an address", std::move(help), check_address,
                  member<std::string>(pointer));
}
// Empty text is "not set".
template <class T>
Key optional_address(std::string name, std::optional<std::string> T::*pointer, std::string help) {
  return text_key(std::move(name), "an address", std::move(help), check_address,
                  {[pointer](void* object, std::string value) {
                     auto& slot = static_cast<T*>(object)->*pointer;
                     slot = value.empty() ? std::nullopt : std::optional(std::move(value));
                   },
                   [pointer](const void* object) {
                     return (static_cast<const T*>(object)->*pointer).value_or("");
                   }});
}
template <class T, class N>
Key number(std::string name, N T::*pointer, Range range, std::string help) {
  return number_key(std::move(name), range, std::move(help), member<std::int64_t>(pointer));
}
template <class T>
Key number_of(std::string name, int T::*pointer, std::vector<std::int64_t> numbers,
              std::string help) {
  return number_of_key(std::move(name), std::move(numbers), std::move(help),
                       member<std::int64_t>(pointer));
}
template <class T>
Key worker_count(std::string name, int T::*fewest, int T::*most, std::string help) {
  return worker_count_key(std::move(name), std::move(help),
                          {[fewest, most](void* object, Between count) {
                             static_cast<T*>(object)->*fewest = static_cast<int>(count.min);
                             static_cast<T*>(object)->*most = static_cast<int>(count.max);
                           },
                           [fewest, most](const void* object) {
                             const T& owner = *static_cast<const T*>(object);
                             return Between{owner.*fewest, owner.*most};
                           }});
}
template <class T>
Key flag(std::string name, bool T::*pointer, std::string help) {
  return flag_key(std::move(name), std::move(help), member<bool>(pointer));
}
template <class T>
Key duration(std::string name, std::chrono::milliseconds T::*pointer, Span span, std::string help) {
  return duration_key(std::move(name), span, std::move(help),
                      {[pointer](void* object, std::optional<std::chrono::milliseconds> value) {
                         static_cast<T*>(object)->*pointer =
                             value.value_or(std::chrono::milliseconds(0));
                       },
                       [pointer](const void* object) {
                         return std::optional(static_cast<const T*>(object)->*pointer);
                       }});
}
template <class T>
Key optional_duration(std::string name, std::optional<std::chrono::milliseconds> T::*pointer,
                      Span span, std::string help, std::string example) {
  Key key = duration_key(std::move(name), span, std::move(help),
                         member<std::optional<std::chrono::milliseconds>>(pointer));
  key.example = std::move(example);
  return key;
}
template <class T>
Key size(std::string name, std::uint64_t T::*pointer, SizeRange range, std::string help) {
  return size_key(std::move(name), range, std::move(help),
                  {[pointer](void* object, std::optional<std::uint64_t> value) {
                     static_cast<T*>(object)->*pointer = value.value_or(0);
                   },
                   [pointer](const void* object) {
                     return std::optional(static_cast<const T*>(object)->*pointer);
                   }});
}
template <class T>
Key optional_size(std::string name, std::optional<std::uint64_t> T::*pointer, SizeRange range,
                  std::string help, std::string example) {
  Key key = size_key(std::move(name), range, std::move(help),
                     member<std::optional<std::uint64_t>>(pointer));
  key.example = std::move(example);
  return key;
}
template <class T>
Key mode(std::string name, int T::*pointer, std::string help) {
  return mode_key(std::move(name), std::move(help), member<std::int64_t>(pointer));
}
template <class T>
Key list(std::string name, List T::*pointer, std::string accepts, std::string help,
         TextCheck check = check_nothing) {
  return list_key(std::move(name), std::move(accepts), std::move(help), check,
                  member<List>(pointer));
}
// Parts per million, written in percent.
template <class T>
Key share(std::string name, std::uint32_t T::*pointer, std::string help) {
  return share_key(std::move(name), std::move(help), member<std::uint32_t>(pointer));
}
template <class T>
Key words(std::string name, List T::*pointer, Words allowed, std::string help) {
  return words_key(std::move(name), std::move(allowed), std::move(help), member<List>(pointer));
}
template <class T>
Key map(std::string name, Map T::*pointer, std::string help) {
  return map_key(std::move(name), std::move(help), member<Map>(pointer));
}

// One of several words, each an enumerator.
template <class E, class T>
Key choice(std::string name, E T::*pointer, std::vector<std::pair<std::string, E>> allowed,
           std::string help) {
  Words names;
  std::vector<E> values;
  for (auto& [word, value] : allowed) {
    names.push_back(word);
    values.push_back(value);
  }
  return word_key(std::move(name), std::move(names), std::move(help),
                  {[pointer, values](void* object, std::size_t index) {
                     static_cast<T*>(object)->*pointer = values.at(index);
                   },
                   [pointer, values](const void* object) {
                     const E value = static_cast<const T*>(object)->*pointer;
                     std::size_t index = 0;
                     while (index < values.size() && values[index] != value) ++index;
                     return index;
                   }});
}

template <class T>
std::shared_ptr<void> make_default() {
  return std::make_shared<T>();
}

}  // namespace saola::config
