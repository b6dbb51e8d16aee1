#include "agent-dst/restore/descriptors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>

#include "agent-dst/restore/sockets/unix_filler.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr std::size_t kNumbersAtOnce = 4096;
constexpr std::size_t kCallsPerNumber = 5;
constexpr std::size_t kCallsForWay = 2;
constexpr uint32_t kMaxNumber = 1 << 20;

// Returns the entry that describes the descriptor: for a FIFO, the entry with its name.
const img::file_entry& described(const img::file_entry& entry, const FileOpener& files) {
  return entry.has_fifo() ? files.entry(entry.fifo().regf_id()) : entry;
}

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

}  // namespace

TreeDescriptors::TreeDescriptors(std::vector<RestoreContext*> tasks)
    : tasks_(std::move(tasks)), kinds_(make_fd_restorers()), fds_{*tasks_.front(), {}, {}, {}} {}

void TreeDescriptors::install() {
  read_images();
  for (const auto& [id, places] : fds_.places) open(id);
  follow_files();
  for (const FdRestorerPtr& kind : kinds_) kind->opened(fds_);
  for (RestoreContext* task : tasks_) inject(*task);
  for (const FdRestorerPtr& kind : kinds_) {
    follow_files();
    kind->fix_up(fds_);
  }
  fds_.own.clear();
}

void TreeDescriptors::commit() {
  for (const FdRestorerPtr& kind : kinds_) {
    follow_files();
    kind->commit(fds_);
  }
}

void TreeDescriptors::follow_files() const {
  fds_.task.follow_image(image_file::kFiles);
}

void TreeDescriptors::resumed() noexcept {
  for (const FdRestorerPtr& kind : kinds_) kind->resumed(fds_);
}

bool TreeDescriptors::awaits_end() const {
  return fds_.task.original_is_here &&
         std::any_of(kinds_.begin(), kinds_.end(), [](const FdRestorerPtr& kind) { return kind->awaits_end(); });
}

void TreeDescriptors::original_ended() noexcept {
  for (const FdRestorerPtr& kind : kinds_) kind->original_ended();
}

void TreeDescriptors::read_images() {
  for (RestoreContext* task : tasks_) read_table(*task);
  for (const uint32_t id : ids_in_flight(fds_.task.images)) fds_.places[id];
  follow_files();
  for (auto& entry : fds_.task.images.read_all<img::file_entry>(image_file::kFiles)) {
    fds_.task.files.add(entry);
    fds_.entries[entry.id()] = std::move(entry);
  }
  fds_.task.files.add_ghosts(fds_.task.images);
}

void TreeDescriptors::read_table(RestoreContext& task) {
  if (!task.cores.front().has_ids()) {
    throw Error(ErrorCode::corrupt_image, "restoring descriptors", "the task has no ids").with_pid(task.pid);
  }
  const uint32_t files_id = task.cores.front().ids().files_id();
  if (!tables_.insert(files_id).second) return;  // the first task that has this table fills it for all
  const std::string table = image_file::fdinfo(files_id);
  task.follow_image(table);
  std::map<uint32_t, img::fdinfo_entry> numbers;
  for (auto& info : task.images.read_all<img::fdinfo_entry>(table)) {
    const uint32_t fd = info.fd();
    if (fd >= kMaxNumber || !numbers.try_emplace(fd, std::move(info)).second) {
      throw Error(ErrorCode::corrupt_image, "restoring descriptors", fmt::format("number {}", fd)).with_image(table);
    }
  }
  descriptors_ += numbers.size();
  task.policy.check_descriptors(descriptors_);
  for (const auto& [fd, info] : numbers) {
    fds_.places[info.id()].push_back({&task, static_cast<int>(fd), (info.flags() & FD_CLOEXEC) != 0});
  }
}

void TreeDescriptors::open(uint32_t id) {
  follow_files();
  const auto entry = fds_.entries.find(id);
  if (entry == fds_.entries.end()) {
    throw Error(ErrorCode::corrupt_image, "restoring descriptors", fmt::format("file {} is not in it", id))
        .with_image(std::string(image_file::kFiles));
  }
  fds_.own[id] = kind_of(entry->second).open(entry->second, fds_);
}

FdRestorer& TreeDescriptors::kind_of(const img::file_entry& entry) const {
  for (const FdRestorerPtr& kind : kinds_) {
    if (kind->matches(entry)) return *kind;
  }
  throw Error(ErrorCode::unsupported, "restoring descriptors",
              fmt::format("{} is not supported", describe(img::fd_types_Name(entry.type()).c_str(), entry.id(), fds_)));
}

// Places the descriptors in ascending order of their numbers, so that the lowest free number is close to the next one.
void TreeDescriptors::inject(RestoreContext& task) {
  struct Step {
    int number;
    int own;
    bool cloexec;
  };
  std::vector<Step> steps;
  for (const auto& [id, places] : fds_.places) {
    for (const FdPlace& place : places) {
      if (place.task == &task) steps.push_back({place.fd, fds_.own.at(id).get(), place.cloexec});
    }
  }
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.number < b.number; });
  for (std::size_t first = 0; first < steps.size(); first += kNumbersAtOnce) {
    const std::size_t end = std::min(steps.size(), first + kNumbersAtOnce);
    const ArenaScope scratch(task.vessel.arena());
    RemoteBatch batch = task.vessel.batch((end - first) * kCallsPerNumber + kCallsForWay);
    if (first == 0) task.vessel.descriptors().plan_way(batch, steps.back().number);
    for (std::size_t i = first; i < end; ++i)
      task.vessel.descriptors().plan_inject(batch, steps[i].own, steps[i].number, steps[i].cloexec);
    task.vessel.run_checked(batch);
  }
}

void TreeDescriptors::set_owners() {
  follow_files();
  for (const auto& [id, places] : fds_.places) {
    const img::file_entry& entry = described(fds_.entries.at(id), tasks_.front()->files);
    const img::fown_entry* owner = owner_of(entry);
    if (owner == nullptr || places.empty()) continue;
    const bool async = (flags_of(entry) & O_ASYNC) != 0;
    if (owner->pid() != 0 || owner->signum() != 0 || async) set_owner(id, *owner, async);
  }
}

void TreeDescriptors::set_owner(uint32_t id, const img::fown_entry& owner, bool async) {
  const f_owner_ex value{static_cast<__pid_type>(owner.pid_type()), static_cast<pid_t>(owner.pid())};
  const FdPlace& place = fds_.place_of(id);
  Vessel& vessel = place.task->vessel;
  const ArenaScope scratch(vessel.arena());
  RemoteBatch batch = vessel.batch(4);
  if (owner.pid() != 0) {
    batch.add("setting a file's owner", SYS_fcntl, place.fd, F_SETOWN_EX, vessel.arena().put_object(value));
  }
  if (owner.signum() != 0) batch.add("setting a file's signal", SYS_fcntl, place.fd, F_SETSIG, owner.signum());
  if (async) {
    const uint32_t flags = flags_of(described(fds_.entries.at(id), tasks_.front()->files)) &
                           (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK | O_ASYNC);
    batch.add("setting O_ASYNC", SYS_fcntl, place.fd, F_SETFL, flags);
  }
  vessel.run_checked(batch);
}

}  // namespace crx
