// Seccomp mode and filters of each thread. They are installed while the tracer suspends them
// (PTRACE_O_SUSPEND_SECCOMP), before credentials are dropped: without CAP_SYS_ADMIN they would need no_new_privs.
// Filters that all threads have are installed once and shared, since a program may later add a filter to all threads
// (SECCOMP_FILTER_FLAG_TSYNC), which requires that.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr std::size_t kInstructionBytes = 8;

class Seccomp final : public Restorer {
 public:
  const char* name() const override { return "seccomp"; }
  std::string image(const RestoreContext&) const override { return std::string(image_file::kSeccomp); }

  void prepare(RestoreContext& context) override {
    if (const auto image = context.images.try_read_one<img::seccomp_entry>(image_file::kSeccomp)) image_ = *image;
    shared_ = chain_of(context.cores.front());
    for (const img::core_entry& core : context.cores) {
      const std::vector<uint32_t> chain = chain_of(core);
      shared_.erase(std::mismatch(shared_.begin(), shared_.end(), chain.begin(), chain.end()).first, shared_.end());
    }
    if (context.cores.size() == 1) shared_.clear();
  }

  // The ptrace option can be set only in a ptrace stop: the thread leaves the stub, and enters it again with its next
  // batch.
  void after_thread(RestoreContext& context, std::size_t thread, const RemoteBatch&) override {
    if (context.cores[thread].thread_core().seccomp_mode() == img::disabled) return;
    context.vessel.process().thread(thread).leave();
    context.vessel.process().traced(thread).set_options(TracedThread::Kind::vessel, true);
  }

  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::core_entry& core = context.cores[thread];
    if (core.thread_core().seccomp_mode() == img::strict) {
      batch.add("setting strict seccomp", SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
      return;
    }
    if (thread == 0 && !shared_.empty()) {  // before any thread installs its own
      const ArenaScope scratch(context.vessel.arena());
      RemoteBatch first = context.vessel.batch(shared_.size());
      for (const uint32_t index : shared_)
        install(context, index, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, first);
      context.vessel.run_checked(first);
    }
    const std::vector<uint32_t> chain = chain_of(core);
    for (std::size_t i = shared_.size(); i < chain.size(); ++i) install(context, chain[i], 0, batch);
  }

 private:
  void install(RestoreContext& context, uint32_t index, uint64_t flags, RemoteBatch& batch) const {
    const img::seccomp_filter& filter = image_.seccomp_filters(static_cast<int>(index));
    batch.add("installing a seccomp filter", SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags() | flags,
              program(context.vessel.arena(), filter));
  }

  // Returns the filters of a thread, the oldest first.
  std::vector<uint32_t> chain_of(const img::core_entry& core) const {
    std::vector<uint32_t> chain;
    if (core.thread_core().seccomp_mode() != img::filter) return chain;
    uint32_t index = core.thread_core().seccomp_filter();
    for (;;) {
      if (index >= static_cast<uint32_t>(image_.seccomp_filters_size()) ||
          chain.size() > static_cast<std::size_t>(image_.seccomp_filters_size())) {
        throw Error(ErrorCode::corrupt_image, "restoring seccomp", "filter " + std::to_string(index) + " is missing");
      }
      chain.push_back(index);
      const img::seccomp_filter& filter = image_.seccomp_filters(static_cast<int>(index));
      if (!filter.has_prev()) break;
      index = filter.prev();
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  static RemotePtr<sock_fprog> program(RemoteArena& arena, const img::seccomp_filter& filter) {
    sock_fprog program{};
    program.len = static_cast<unsigned short>(filter.filter().size() / kInstructionBytes);
    program.filter = reinterpret_cast<sock_filter*>(arena.put(std::as_bytes(std::span(filter.filter()))).addr());
    return arena.put_object(program);
  }

  img::seccomp_entry image_;
  std::vector<uint32_t> shared_;  // the oldest filters, which all threads have in common (if there are several threads)
};

}  // namespace

RestorerPtr make_seccomp_restorer() {
  return std::make_unique<Seccomp>();
}

}  // namespace crx
