// Namespaces in which there is nothing: no files, no network, no IPC objects of others.
#pragma once

#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// Made once and entered by many: to make a network namespace takes milliseconds, and to enter one takes microseconds.
class EmptyNamespaces {
 public:
  // Makes an empty mount namespace (an empty tmpfs is its root), and new network, IPC and UTS namespaces, in a child
  // that ends at once. Needs CAP_SYS_ADMIN. Throws Error.
  static EmptyNamespaces make();

  // Moves this process, which must be single-threaded, into all of them. Sockets and files that are open stay as they
  // are. Needs CAP_SYS_ADMIN and CAP_SYS_CHROOT. Throws Error.
  void enter() const;

 private:
  std::vector<Fd> namespaces_;
};

}  // namespace crx
