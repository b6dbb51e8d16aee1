// The agent's end of a userfaultfd that was created in the victim, used for nothing but write tracking.
#pragma once

#include <cstdint>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"

namespace crx {

enum class RegisterStatus {
  ok,            // registered, or was already by us
  vanished,      // EINVAL, ENOMEM: no VMA there any more, or one of a type that cannot be registered
  taken,         // EBUSY: another userfaultfd has it
  not_writable,  // EPERM: a shared mapping that can never be written: nothing to track
  gone,          // ESRCH: the address space has ended
};

// Asynchronous write-protect mode (Linux 6.7): a write to a protected page takes the protection away without
// anybody being asked, so the victim never waits for us. userfaultfd(2), Documentation/admin-guide/mm/userfaultfd.rst.
// Closing the last descriptor unregisters everything and gives the victim its pages back unprotected.
// Any thread; the victim may run.
class WriteProtectFd {
 public:
  // Flags for the userfaultfd(2) call made in the victim: USER_MODE_ONLY works for unprivileged victims too.
  static unsigned create_flags() noexcept;

  // fd: our duplicate (pidfd_getfd) of a descriptor that is fresh from userfaultfd(2) in the victim; the victim's
  // own may be closed once this returned. Makes the UFFDIO_API handshake. Throws Error(unsupported) on a kernel
  // without asynchronous write protection.
  static WriteProtectFd adopt(Fd fd);
  // fd: a duplicate of one that adopt() took, in another process perhaps; what it has registered stays so.
  static WriteProtectFd take_over(Fd fd) noexcept { return WriteProtectFd(std::move(fd)); }
  // Whether this kernel has it at all: tries in our own process, once.
  static bool supported();

  // Registers all VMAs of the range; holes in it are no error. Nothing is protected yet. Throws Error(kernel) on
  // what RegisterStatus does not name. On failure nothing of the range was registered newly.
  [[nodiscard]] RegisterStatus register_range(PageRange range) const;
  // Takes the registration and all marks away; a range that is not registered is no error.
  void unregister_range(PageRange range) const;

  // Takes the mark off registered pages: they count as written. False where that is not possible.
  [[nodiscard]] bool unprotect(PageRange range) const noexcept;

  int get() const noexcept { return fd_.get(); }

 private:
  explicit WriteProtectFd(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace crx
