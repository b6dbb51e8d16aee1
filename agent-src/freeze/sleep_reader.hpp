// Opens the kernel reader that tells how long threads sleep, once for all stops of a migration or dump.
#pragma once

#include <optional>

#include "common/kernel/introspect/kernel_sleeps.hpp"

namespace crx {

// Single-threaded.
class SleepReader {
 public:
  // Opens the reader on the first call, which takes a millisecond and must not happen in a stop. Returns nullptr if the
  // kernel cannot be read. The result belongs to this object.
  const KernelSleeps* open() {
    if (!tried_) kernel_ = KernelSleeps::open();
    tried_ = true;
    return opened();
  }
  // Returns the reader if open() has opened it, otherwise nullptr.
  const KernelSleeps* opened() const noexcept { return kernel_ ? &*kernel_ : nullptr; }

 private:
  std::optional<KernelSleeps> kernel_;
  bool tried_ = false;
};

}  // namespace crx
