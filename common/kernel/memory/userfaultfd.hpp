// The agent's duplicate of a userfaultfd that was created in the victim, used for write tracking only.
#pragma once

#include <cstdint>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"

namespace crx {

enum class RegisterStatus {
  ok,            // registered now, or was registered by us before
  vanished,      // EINVAL, ENOMEM: there is no VMA any more, or its type cannot be registered
  taken,         // EBUSY: registered with another userfaultfd
  not_writable,  // EPERM: a shared mapping that can never be written, so there is nothing to track
  gone,          // ESRCH: the address space has ended
};

// Asynchronous write-protect mode (Linux 6.7): the kernel resolves a write to a protected page by itself and removes
// the protection, so the victim never waits for us. userfaultfd(2), Documentation/admin-guide/mm/userfaultfd.rst.
// Closing the last descriptor unregisters everything and leaves the victim's pages unprotected. Usable from any thread;
// the victim may run.
class WriteProtectFd {
 public:
  // Flags for the userfaultfd(2) call in the victim. USER_MODE_ONLY also works for unprivileged victims.
  static unsigned create_flags() noexcept;

  // fd: our duplicate (pidfd_getfd) of a descriptor that the victim has just created with userfaultfd(2); the victim
  // may close its own when this has returned. Makes the UFFDIO_API handshake. Throws Error(unsupported) on a kernel
  // without asynchronous write protection.
  static WriteProtectFd adopt(Fd fd);
  // fd: a duplicate of a descriptor that adopt() has taken, possibly in another process; its registrations stay.
  static WriteProtectFd take_over(Fd fd) noexcept { return WriteProtectFd(std::move(fd)); }
  // Whether this kernel supports the mode; tried once in the crx process itself.
  static bool supported();

  // Registers all VMAs of the range; holes in it are no error. Nothing is protected yet. Throws Error(kernel) for a
  // failure that RegisterStatus does not name. On failure no part of the range has been newly registered.
  [[nodiscard]] RegisterStatus register_range(PageRange range) const;
  // Removes the registration and all marks; a range that is not registered is no error.
  void unregister_range(PageRange range) const;

  // Removes the mark from registered pages, which then count as written. False when that is not possible.
  [[nodiscard]] bool unprotect(PageRange range) const noexcept;

  int get() const noexcept { return fd_.get(); }

 private:
  explicit WriteProtectFd(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace crx
