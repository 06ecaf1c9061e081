// Result<T, E>: a value or the reason why there is none. Member names follow std::expected (C++23),
// so that a later toolchain can replace this file by an alias.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "common/core/check.h"

namespace saola {

// The reason of a failure that is told to a person: a message that says what to do, and errno where
// a system call failed (0 otherwise).
struct Error {
  std::string message;
  int code = 0;
};

// errno and what was tried, as an Error: "open /etc/x: Permission denied".
Error system_error(std::string what, int error_number);

template <class E>
struct Unexpected {
  E error;
};
template <class E>
Unexpected(E) -> Unexpected<E>;

inline Unexpected<Error> fail(std::string message, int code = 0) {
  return {Error{std::move(message), code}};
}

template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit
  template <class F>
  Result(Unexpected<F> unexpected)  // NOLINT: implicit
      : state_(std::in_place_index<1>, std::move(unexpected.error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return checked(); }
  const T& value() const& {
    SAOLA_CHECK(has_value());
    return std::get<0>(state_);
  }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  T&& operator*() && { return std::move(checked()); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

  const E& error() const& {
    SAOLA_CHECK(!has_value());
    return std::get<1>(state_);
  }
  E&& error() && {
    SAOLA_CHECK(!has_value());
    return std::move(std::get<1>(state_));
  }

 private:
  T& checked() {
    SAOLA_CHECK(has_value());
    return std::get<0>(state_);
  }
  std::variant<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  template <class F>
  Result(Unexpected<F> unexpected) : error_(std::move(unexpected.error)) {}  // NOLINT: implicit

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  const E& error() const {
    SAOLA_CHECK(error_.has_value());
    return *error_;
  }

 private:
  std::optional<E> error_;
};

}  // namespace saola
