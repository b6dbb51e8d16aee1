// Privileges that a test does without.
#pragma once

#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace crx {

// While it exists the calling thread has none of the capabilities that reading the kernel's structures takes.
class LessPrivileged {
 public:
  LessPrivileged() {
    REQUIRE(::syscall(SYS_capget, &header_, before_) == 0);
    __user_cap_data_struct less[2] = {before_[0], before_[1]};
    for (const int capability : {CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF})
      less[capability / 32].effective &= ~(1U << capability % 32);
    REQUIRE(::syscall(SYS_capset, &header_, less) == 0);
  }
  LessPrivileged(const LessPrivileged&) = delete;
  LessPrivileged& operator=(const LessPrivileged&) = delete;
  ~LessPrivileged() { ::syscall(SYS_capset, &header_, before_); }

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2] = {};
};

}  // namespace crx
