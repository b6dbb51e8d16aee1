// Reads kernel structures for which the kernel has no other interface, but which a move needs: until when threads
// sleep, how many requests of asynchronous I/O are in flight, and which data was sent over unix connections that are
// not accepted yet. BPF programs (common/kernel/introspect/bpf) do this; the kernel verifies them, and they only read.
#pragma once

#include <optional>
#include <string>

#include "common/kernel/introspect/aio_requests.hpp"
#include "common/kernel/introspect/sleep_reader.hpp"
#include "common/kernel/introspect/unaccepted_reader.hpp"

namespace crx {

enum class KernelAccess {
  with,     // everything below can be read
  without,  // some of it cannot be read: privileges are missing, or the kernel does not support it
  off,      // the user has disabled it (--no-kernel-introspection)
};

// A session has one, which is passed by reference to its users. It owns the readers. Single-threaded. Movable.
//
// It needs CAP_BPF and CAP_PERFMON, and Linux 6.1 with CONFIG_BPF_SYSCALL and CONFIG_DEBUG_INFO_BTF. A reader is opened
// on its first use, which takes about five milliseconds of CPU time: so a reader that may be needed during the stop
// should be used once before it.
class KernelView {
 public:
  explicit KernelView(bool wanted = true) : wanted_(wanted) {}

  // Each returns a reader, or nullptr where the kernel cannot be read in this way, which is logged the first time. They
  // never throw.
  const SleepReader* sleeps();
  const AioRequests* aio_requests();
  const UnacceptedReader* unaccepted();
  // Returns the reader only if sleeps() has opened it; otherwise nullptr.
  const SleepReader* opened_sleeps() const noexcept { return sleeps_.reader ? &*sleeps_.reader : nullptr; }
  // Opens all readers, and returns whether that succeeded.
  KernelAccess access();

  // Texts for the user where a reader is nullptr: the reason, and the remedy.
  std::string reason() const;
  std::string remedy() const;

 private:
  template <typename Reader>
  struct Part {
    std::optional<Reader> reader;
    bool is_tried = false;
  };
  template <typename Reader>
  const Reader* open(Part<Reader>& part);

  bool wanted_;
  int error_ = 0;  // errno of the first part that could not be opened
  Part<SleepReader> sleeps_;
  Part<AioRequests> aio_requests_;
  Part<UnacceptedReader> unaccepted_;
};

}  // namespace crx
