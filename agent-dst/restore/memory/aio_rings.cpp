// Asynchronous I/O contexts: made anew, advanced to their old event counts, and moved to the old address of their ring,
// which is their id (the kernel follows an mremap: aio_ring_mremap of fs/aio.c). Until then the old ring lies at that
// address as plain memory, see layout.cpp.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/memory/aio_ring.hpp"
#include "common/kernel/process/kcmp.hpp"

namespace crx {
namespace {

constexpr char kAioRingsStep[] = "restoring asynchronous I/O";
constexpr uint64_t kMaxRingBytes = uint64_t{256} << 20;
constexpr uint32_t kAtOnce = 64, kTurns = 64;  // requests in one call; calls in one batch

class AioRings final : public Restorer {
 public:
  const char* name() const override { return "asynchronous I/O"; }
  std::string image(const RestoreContext& context) const override {
    return image_file::mm(static_cast<uint32_t>(context.pid));
  }

  void prepare(RestoreContext& context) override {
    if ((context.vessel.process().clone_flags() & sharing::kMemory) != 0 ||
        context.vessel.memory().layout().aios_size() == 0)
      return;
    const Fd memory = open_checked(fmt::format("/proc/{}/mem", context.vessel.pid()), O_RDWR);
    for (const img::aio_ring_entry& ring : context.vessel.memory().layout().aios())
      restore(context, ring, memory.get());
  }

 private:
  static void restore(RestoreContext& context, const img::aio_ring_entry& ring, int memory) {
    const std::string saved = saved_ring(context, ring, memory);
    AioRingHeader was{};
    std::memcpy(&was, saved.data(), sizeof was);
    Vessel& vessel = context.vessel;
    const Fd null = open_checked("/dev/null", O_WRONLY | O_CLOEXEC);
    const ArenaScope scratch(vessel.arena());
    RemoteBatch make = vessel.batch(2);
    const auto id = vessel.arena().allocate<uint64_t>();
    const std::size_t made = make.add_optional("making an asynchronous I/O ring", SYS_io_setup,
                                               aio_ring_request(ring.ring_len()), id.remote);
    const std::size_t borrowed = vessel.descriptors().plan_borrow(make, null.get());
    vessel.run_checked(make);
    if (make.result(made) == -EAGAIN)
      throw Error(ErrorCode::refused, kAioRingsStep, "there are too many rings here")
          .with_hint("raise fs.aio-max-nr here");
    static_cast<void>(make.checked(made));
    const uint64_t at = *id.local;
    const auto fd = static_cast<uint32_t>(make.result(borrowed));
    if (header_at(memory, at).events != was.events) {
      throw Error(ErrorCode::refused, kAioRingsStep,
                  fmt::format("the ring at {:#x} has another size here, {} events instead of {}", ring.id(),
                              header_at(memory, at).events, was.events))
          .with_hint("move to a host with as many CPUs or fewer");
    }
    advance(vessel, at, fd, was.tail);
    const AioRingHeader now = header_at(memory, at);
    if (now.tail != was.tail || now.head != was.tail) {
      throw Error(ErrorCode::kernel, kAioRingsStep,
                  fmt::format("the ring is at {} and {}, not at {}", now.head, now.tail, was.tail))
          .with_pid(context.pid);
    }
    RemoteBatch place = vessel.batch(2);
    place.add("closing /dev/null", SYS_close, fd);
    place.add("placing an asynchronous I/O ring", SYS_mremap, at, ring.ring_len(), ring.ring_len(),
              MREMAP_MAYMOVE | MREMAP_FIXED, ring.id());
    vessel.run_checked(place);
    write(memory, ring.id() + sizeof was, std::string_view(saved).substr(sizeof was));
    write(memory, ring.id() + offsetof(AioRingHeader, head),
          {reinterpret_cast<const char*>(&was.head), sizeof was.head});
  }

  static std::string saved_ring(RestoreContext& context, const img::aio_ring_entry& ring, int memory) {
    const auto bad = [&](const char* why) {
      return Error(ErrorCode::corrupt_image, kAioRingsStep, fmt::format("the ring at {:#x} {}", ring.id(), why));
    };
    const auto& vmas = context.vessel.memory().layout().vmas();
    const bool mapped = std::any_of(vmas.begin(), vmas.end(), [&](const img::vma_entry& vma) {
      return (vma.status() & vma_status::kAioRing) != 0 && vma.start() == ring.id() &&
             vma.end() - vma.start() == ring.ring_len();
    });
    if (!mapped) throw bad("is no mapping");
    if (ring.ring_len() > kMaxRingBytes) throw bad("is too large");
    std::string saved(ring.ring_len(), '\0');
    if (::pread(memory, saved.data(), saved.size(), static_cast<off_t>(ring.id())) !=
        static_cast<ssize_t>(saved.size())) {
      throw_errno(kAioRingsStep, fmt::format("the ring at {:#x}", ring.id()));
    }
    AioRingHeader header{};
    std::memcpy(&header, saved.data(), sizeof header);
    if (header.magic != kAioRingMagic || header.header_bytes != sizeof header ||
        header.events != aio_ring_events(saved.size()) || header.head >= header.events ||
        header.tail >= header.events) {
      throw bad("has content that the kernel does not make");
    }
    return saved;
  }

  static AioRingHeader header_at(int memory, uint64_t at) {
    AioRingHeader header{};
    if (::pread(memory, &header, sizeof header, static_cast<off_t>(at)) != sizeof header)
      throw_errno(kAioRingsStep, fmt::format("the ring at {:#x}", at));
    return header;
  }

  static void write(int memory, uint64_t at, std::string_view bytes) {
    if (::pwrite(memory, bytes.data(), bytes.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(bytes.size())) {
      throw_errno(kAioRingsStep, fmt::format("the ring at {:#x}", at));
    }
  }

  // The kernel keeps the index of the next event to itself, and only events advance it; so as many events are made and
  // taken.
  static void advance(Vessel& vessel, uint64_t ring, uint32_t null, uint32_t tail) {
    while (tail > 0) {
      const ArenaScope scratch(vessel.arena());
      RemoteBatch batch = vessel.batch(2 * kTurns);
      iocb request{};
      request.aio_lio_opcode = IOCB_CMD_PWRITE;
      request.aio_fildes = null;
      const auto events = vessel.arena().allocate<io_event>(kAtOnce);
      request.aio_buf = events.remote.addr();
      request.aio_nbytes = 1;
      const uint64_t at = vessel.arena().put_object(request).addr();
      const auto list = vessel.arena().allocate<uint64_t>(kAtOnce);
      std::fill_n(list.local, kAtOnce, at);
      for (uint32_t turn = 0; turn < kTurns && tail > 0; ++turn) {
        const uint32_t count = std::min(tail, kAtOnce);
        batch.add("making events", SYS_io_submit, ring, count, list.remote);
        batch.add("taking events", SYS_io_getevents, ring, count, count, events.remote, 0);
        tail -= count;
      }
      vessel.run_checked(batch);
    }
  }
};

}  // namespace

RestorerPtr make_aio_rings_restorer() {
  return std::make_unique<AioRings>();
}

}  // namespace crx
