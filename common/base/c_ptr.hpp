// Owners of objects of C libraries.
#pragma once

#include <memory>

namespace crx {

// Frees by a function of the library, which must not fail: CPtr<X509, X509_free>.
template <auto FreeFunction>
struct CFree {
  template <typename T>
  void operator()(T* object) const noexcept {
    FreeFunction(object);
  }
};
template <typename T, auto FreeFunction>
using CPtr = std::unique_ptr<T, CFree<FreeFunction>>;

}  // namespace crx
