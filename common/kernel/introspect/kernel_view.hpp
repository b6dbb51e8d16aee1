// Looking into the kernel, where it has no interface that says what a move needs to know: until when threads sleep,
// how much asynchronous I/O is in flight, and what was sent over unix connections that are not accepted yet. Done by
// BPF programs (common/kernel/introspect/bpf) that the kernel verifies, and that only read.
#pragma once

#include <optional>
#include <string>

#include "common/kernel/introspect/aio_requests.hpp"
#include "common/kernel/introspect/sleep_reader.hpp"
#include "common/kernel/introspect/unaccepted_reader.hpp"

namespace crx {

enum class KernelAccess {
  with,     // everything below can be read
  without,  // some of it cannot be: privileges are missing, or the kernel does not offer it
  off,      // the user does not want it (--no-kernel-introspection)
};

// One for a session, handed by reference to whoever asks. Single-threaded. Movable.
//
// Wants CAP_BPF and CAP_PERFMON, and Linux 6.1 with CONFIG_BPF_SYSCALL and CONFIG_DEBUG_INFO_BTF. A reader is opened
// the first time it is asked for, which takes about five milliseconds of the CPU: ask once before the stop for what may
// be needed in it.
class KernelView {
 public:
  explicit KernelView(bool wanted = true) : wanted_(wanted) {}

  // Nullptr where it cannot be read; logged the first time. Never throw.
  const SleepReader* sleeps();
  const AioRequests* aio_requests();
  const UnacceptedReader* unaccepted();
  // The same without opening it.
  const SleepReader* opened_sleeps() const noexcept { return sleeps_.reader ? &*sleeps_.reader : nullptr; }
  // Opens them all.
  KernelAccess access();

  // For the user, where a reader is nullptr: why, and what helps.
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
  int error_ = 0;  // of the first part that could not be opened
  Part<SleepReader> sleeps_;
  Part<AioRequests> aio_requests_;
  Part<UnacceptedReader> unaccepted_;
};

}  // namespace crx
