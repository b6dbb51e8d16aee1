#include "agent-dst/ipc/session_figures.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/error.hpp"

namespace crx::ipc {
namespace {

constexpr char kFiguresStep[] = "counting for the metrics";
constexpr int kFiguresSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr uint64_t kMaxFigure = uint64_t{1} << 50;
constexpr uint32_t kMaxProcesses = 1 << 22;  // the kernel's limit of PIDs

const char* name_of(SessionStage stage) {
  switch (stage) {
    case SessionStage::frozen:
      return "frozen";
    case SessionStage::prepared:
      return "prepared";
    case SessionStage::resumed:
      return "resumed";
    case SessionStage::over:
      return "over";
    default:
      return "receiving";
  }
}

}  // namespace

Fd FiguresMemory::make() {
  Fd memfd(::memfd_create("crx-figures", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd || ::ftruncate(memfd.get(), sizeof(SharedFigures)) != 0 ||
      ::fcntl(memfd.get(), F_ADD_SEALS, kFiguresSeals | F_SEAL_SEAL) != 0) {
    throw_errno(kFiguresStep, "shared memory");
  }
  return memfd;
}

FiguresMemory::FiguresMemory(const Fd& memfd, bool writable) {
  struct stat info {};
  const int seals = ::fcntl(memfd.get(), F_GET_SEALS);
  if (::fstat(memfd.get(), &info) != 0 || info.st_size != static_cast<off_t>(sizeof(SharedFigures)) || seals < 0 ||
      (seals & kFiguresSeals) != kFiguresSeals) {
    throw Error(ErrorCode::bug, kFiguresStep, "the size or the seals of the shared memory are wrong");
  }
  memory_ = Mapping::map(sizeof(SharedFigures), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, memfd.get());
}

SessionFigures FiguresMemory::read() const {
  const SharedFigures& shared = **this;
  SessionFigures out;
  out.state = name_of(shared.stage);
  out.wire_bytes = std::min(shared.wire_bytes.load(), kMaxFigure);
  out.content_pages = std::min(shared.content_pages.load(), kMaxFigure);
  out.zero_pages = std::min(shared.zero_pages.load(), kMaxFigure);
  out.processes = std::min(shared.processes.load(), kMaxProcesses);
  out.downtime_us = std::clamp<int64_t>(shared.downtime_us, 0, kMaxFigure) - 1;
  return out;
}

}  // namespace crx::ipc
