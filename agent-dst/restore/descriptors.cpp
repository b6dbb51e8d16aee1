// The descriptor table: every description opened here, then put into the task under its numbers.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <optional>
#include <set>

#include "agent-dst/restore/fd_restorer.hpp"
#include "agent-dst/restore/registry.hpp"
#include "agent-dst/restore/unix_filler.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr std::size_t kNumbersAtOnce = 4096;
constexpr std::size_t kCallsPerNumber = 5;
constexpr uint32_t kMaxNumber = 1 << 20;

const img::fown_entry* owner_of(const img::file_entry& entry) {
  if (entry.has_reg()) return &entry.reg().fown();
  if (entry.has_pipe()) return &entry.pipe().fown();
  if (entry.has_efd()) return &entry.efd().fown();
  if (entry.has_epfd()) return &entry.epfd().fown();
  if (entry.has_sgfd()) return &entry.sgfd().fown();
  if (entry.has_tfd()) return &entry.tfd().fown();
  if (entry.has_ify()) return &entry.ify().fown();
  if (entry.has_memfd()) return &entry.memfd().fown();
  if (entry.has_pidfd()) return &entry.pidfd().fown();
  if (entry.has_tty()) return &entry.tty().fown();
  if (entry.has_ffy()) return &entry.ffy().fown();
  if (entry.has_ext()) return &entry.ext().fown();
  if (entry.has_isk()) return &entry.isk().fown();
  if (entry.has_psk()) return &entry.psk().fown();
  if (entry.has_nlsk()) return &entry.nlsk().fown();
  if (entry.has_usk()) return &entry.usk().fown();
  return nullptr;
}

uint32_t flags_of(const img::file_entry& entry) {
  if (entry.has_reg()) return entry.reg().flags();
  if (entry.has_pipe()) return entry.pipe().flags();
  if (entry.has_efd()) return entry.efd().flags();
  if (entry.has_sgfd()) return entry.sgfd().flags();
  if (entry.has_tfd()) return entry.tfd().flags();
  if (entry.has_ify()) return entry.ify().flags();
  if (entry.has_tty()) return entry.tty().flags();
  if (entry.has_ffy()) return entry.ffy().flags();
  if (entry.has_isk()) return entry.isk().flags();
  if (entry.has_psk()) return entry.psk().flags();
  if (entry.has_nlsk()) return entry.nlsk().flags();
  if (entry.has_usk()) return entry.usk().flags();
  return 0;
}

class Descriptors final : public Restorer {
 public:
  const char* name() const override { return "descriptors"; }

  // The vessel's own descriptor table is filled here, in batches that need the whole arena.
  void prepare(RestoreContext& context) override {
    fds_.emplace(FdRestoreContext{context, {}, {}, {}});
    read_images(context);
    open_all();
    install(context);
    for (const FdRestorerPtr& kind : kinds_) kind->fix_up(*fds_);
    context.vessel.arena().reset();
    fds_->own.clear();
  }

  // Owners may be threads, so these wait until all exist. The leader speaks for all.
  void plan_thread(RestoreContext& context, std::size_t thread, RemoteBatch&) override {
    if (thread != 0) return;
    for (const auto& [id, entry] : fds_->entries) {
      const img::fown_entry* owner = owner_of(entry);
      if (owner == nullptr) continue;
      const bool async = (flags_of(entry) & O_ASYNC) != 0;
      if (owner->pid() != 0 || owner->signum() != 0 || async) set_owner(context, id, *owner, async);
    }
  }

  void commit(RestoreContext&) override {
    for (const FdRestorerPtr& kind : kinds_) kind->commit(*fds_);
  }

 private:
  void read_images(RestoreContext& context) {
    if (!context.cores.front().has_ids()) {
      throw Error(ErrorCode::corrupt_image, "restoring descriptors", "the task has no ids");
    }
    const std::string table = image_file::fdinfo(context.cores.front().ids().files_id());
    std::set<uint32_t> taken;
    for (const auto& info : context.images.read_all<img::fdinfo_entry>(table)) {
      if (info.fd() >= kMaxNumber || !taken.insert(info.fd()).second) {
        throw Error(ErrorCode::corrupt_image, "restoring descriptors", fmt::format("number {} in {}", info.fd(), table));
      }
      fds_->numbers[info.id()].push_back(info);
    }
    for (auto& [id, numbers] : fds_->numbers) {
      std::sort(numbers.begin(), numbers.end(), [](const auto& a, const auto& b) { return a.fd() < b.fd(); });
    }
    for (const uint32_t id : ids_in_flight(context.images)) fds_->numbers[id];
    for (const auto& entry : context.images.read_all<img::file_entry>(image_file::kFiles)) {
      context.files.add(entry);
      if (fds_->numbers.contains(entry.id())) fds_->entries[entry.id()] = entry;
    }
    context.files.add_ghosts(context.images);
  }

  void open_all() {
    for (const auto& [id, numbers] : fds_->numbers) {
      const auto entry = fds_->entries.find(id);
      if (entry == fds_->entries.end()) {
        throw Error(ErrorCode::corrupt_image, "restoring descriptors",
                    numbers.empty() ? fmt::format("file {}, passed through a socket, is not in files.img", id)
                                    : fmt::format("fd {} refers to file {}, which is not in files.img", numbers.front().fd(), id));
      }
      fds_->own[id] = kind_of(entry->second).open(entry->second, *fds_);
    }
    for (const FdRestorerPtr& kind : kinds_) kind->opened(*fds_);
  }

  FdRestorer& kind_of(const img::file_entry& entry) const {
    for (const FdRestorerPtr& kind : kinds_) {
      if (kind->matches(entry)) return *kind;
    }
    throw Error(ErrorCode::unsupported, "restoring descriptors",
                fmt::format("{} is not supported", describe(img::fd_types_Name(entry.type()).c_str(), entry.id(), *fds_)));
  }

  // In ascending order of numbers, which keeps the lowest free one close to the next.
  void install(RestoreContext& context) {
    struct Step {
      uint32_t number;
      int own;
      bool cloexec;
    };
    std::vector<Step> steps;
    for (const auto& [id, numbers] : fds_->numbers) {
      for (const img::fdinfo_entry& info : numbers) {
        steps.push_back({info.fd(), fds_->own.at(id).get(), (info.flags() & FD_CLOEXEC) != 0});
      }
    }
    std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.number < b.number; });
    for (std::size_t first = 0; first < steps.size(); first += kNumbersAtOnce) {
      const std::size_t end = std::min(steps.size(), first + kNumbersAtOnce);
      context.vessel.arena().reset();
      RemoteBatch batch = context.vessel.batch((end - first) * kCallsPerNumber);
      for (std::size_t i = first; i < end; ++i) {
        context.vessel.plan_inject(batch, steps[i].own, static_cast<int>(steps[i].number), steps[i].cloexec);
      }
      context.vessel.run_checked(batch);
    }
    context.vessel.arena().reset();
  }

  void set_owner(RestoreContext& context, uint32_t id, const img::fown_entry& owner, bool async) {
    const f_owner_ex value{static_cast<__pid_type>(owner.pid_type()), static_cast<pid_t>(owner.pid())};
    RemoteBatch batch = context.vessel.batch(4);
    const int fd = fds_->number_of(id);
    if (owner.pid() != 0) {
      batch.add("setting a file's owner", SYS_fcntl, fd, F_SETOWN_EX, context.vessel.arena().put_object(value));
    }
    if (owner.signum() != 0) batch.add("setting a file's signal", SYS_fcntl, fd, F_SETSIG, owner.signum());
    if (async) {
      const uint32_t flags = flags_of(fds_->entries.at(id)) & (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK | O_ASYNC);
      batch.add("setting O_ASYNC", SYS_fcntl, fd, F_SETFL, flags);
    }
    context.vessel.run_checked(batch);
  }

  std::vector<FdRestorerPtr> kinds_ = make_fd_restorers();
  std::optional<FdRestoreContext> fds_;
};

}  // namespace

RestorerPtr make_descriptors_restorer() { return std::make_unique<Descriptors>(); }

}  // namespace crx
