// CPtr: a unique_ptr for handles of C libraries. Each alias sits beside the class that wraps it.
#pragma once

#include <memory>

namespace saola {

template <auto Free>
struct CFree {
  template <class T>
  void operator()(T* handle) const noexcept {
    Free(handle);
  }
};

template <class T, auto Free>
using CPtr = std::unique_ptr<T, CFree<Free>>;

}  // namespace saola
