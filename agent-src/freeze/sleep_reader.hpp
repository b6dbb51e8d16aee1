// What tells until when threads sleep, for all the stops of a migration or dump.
#pragma once

#include <optional>

#include "common/kernel/introspect/kernel_sleeps.hpp"

namespace crx {

// Single-threaded.
class SleepReader {
 public:
  // Opened the first time it is asked for, which takes a millisecond: not in a stop. Nullptr where the kernel does not
  // let itself be read.
  const KernelSleeps* open() {
    if (!tried_) kernel_ = KernelSleeps::open();
    tried_ = true;
    return opened();
  }
  // The same without opening it.
  const KernelSleeps* opened() const noexcept { return kernel_ ? &*kernel_ : nullptr; }

 private:
  std::optional<KernelSleeps> kernel_;
  bool tried_ = false;
};

}  // namespace crx
