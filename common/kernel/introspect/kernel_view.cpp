#include "common/kernel/introspect/kernel_view.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kTypes[] = "/sys/kernel/btf/vmlinux";

}  // namespace

template <typename Reader>
const Reader* KernelView::open(Part<Reader>& part) {
  if (wanted_ && !part.is_tried) {
    part.is_tried = true;
    const int error = Reader::open(part.reader);
    if (error_ == 0) error_ = error;
    if (error != 0) log::debug("{}; {}", reason(), remedy());
  }
  return part.reader ? &*part.reader : nullptr;
}

const SleepReader* KernelView::sleeps() {
  return open(sleeps_);
}
const AioRequests* KernelView::aio_requests() {
  return open(aio_requests_);
}
const UnacceptedReader* KernelView::unaccepted() {
  return open(unaccepted_);
}

KernelAccess KernelView::access() {
  if (!wanted_) return KernelAccess::off;
  const bool reads_sleeps = sleeps() != nullptr, counts_requests = aio_requests() != nullptr,
             reads_unaccepted = unaccepted() != nullptr;
  return reads_sleeps && counts_requests && reads_unaccepted ? KernelAccess::with : KernelAccess::without;
}

std::string KernelView::reason() const {
  if (!wanted_) return "looking into the kernel is switched off";
  if (error_ == 0) return "";
  if (error_ == EPERM) return "looking into the kernel is not permitted";
  if (::access(kTypes, F_OK) != 0) return "the kernel does not describe its types";
  return fmt::format("the kernel does not load the programs that look into it: {}", std::strerror(error_));
}

std::string KernelView::remedy() const {
  return wanted_ ? "run crx with CAP_BPF and CAP_PERFMON, on Linux 6.1 or newer with CONFIG_DEBUG_INFO_BTF"
                 : "leave out --no-kernel-introspection";
}

}  // namespace crx
