// The descriptor tables (fdinfo-ID.img) and the open file descriptions, each collected by its kind.
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

FdKind& kind_of(const std::vector<FdKindPtr>& kinds, const OpenFile& file) {
  for (const FdKindPtr& kind : kinds) {
    if (kind->matches(file)) return *kind;
  }
  throw Error(ErrorCode::bug, "collecting descriptors", file.label() + " is of no kind");
}

constexpr char kLockReason[] = "it holds a file lock";
constexpr char kLockRemedy[] = "use --file-locks to move it along";

std::vector<img::file_lock_entry> locks_of(const std::vector<OpenFile>& files, const CollectOptions& options) {
  std::vector<img::file_lock_entry> locks = collect_locks(files);
  if (locks.empty() || options.file_locks) return locks;
  for (const OpenFile& file : files) {
    if (!file.info.locks.empty()) refuse(file, kLockReason, kLockRemedy);
  }
  return locks;
}

void inspect_locks(const OpenFile& file, InspectContext& context) {
  for (const proc::Lock& lock : file.info.locks) {
    const std::string problem = lock_problem(file, lock);
    if (!problem.empty()) context.refusals.push_back(refusal_of(file, problem, "let the program release it"));
  }
  if (!file.info.locks.empty() && !context.options.file_locks) {
    context.refusals.push_back(refusal_of(file, kLockReason, kLockRemedy));
  }
}

// Runs `look`; if a process of the tree other than the root has ended meanwhile, there is nothing to refuse.
template <typename Look>
void unless_gone(pid_t pid, const InspectContext& context, Look look) {
  try {
    look();
  } catch (const Error& error) {
    const auto task =
        std::find_if(context.tree.begin(), context.tree.end(), [pid](const TaskNode& t) { return t.pid == pid; });
    if (pid == context.pid ||
        (error.code() != ErrorCode::victim_gone && (task == context.tree.end() || !has_ended(*task))))
      throw;
  }
}

class Descriptors final : public Collector {
 public:
  const char* name() const override { return "descriptors"; }

  void inspect_tree(InspectContext& context) override {
    const std::vector<FdKindPtr> kinds = make_fd_kinds();
    const auto tree_members = std::make_shared<std::set<pid_t>>();
    for (const TaskNode& task : context.tree) tree_members->insert(task.pid);
    std::vector<OpenFile> files;
    for (const TaskNode& task : context.tree) {
      if (task.dead) continue;
      unless_gone(task.pid, context, [&] {
        for (OpenFile& file : list_open_files(task.pid)) {
          file.tree_members = tree_members;
          files.push_back(std::move(file));
        }
      });
    }
    for (const OpenFile& file : files) {
      unless_gone(file.pid, context, [&] {
        unless_closed(file, [&] {
          kind_of(kinds, file).inspect(file, files, context);
          inspect_locks(file, context);
        });
      });
    }
  }

  void collect_tree(CollectContext& context) override {
    const std::vector<img::task_kobj_ids_entry> ids = shared_ids(context.tree);
    std::map<uint32_t, pid_t> tables;  // keyed by files_id: the first task of those that share the table
    std::vector<Holder> holders;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const FrozenTask& task = *context.tree.tasks()[i];
      if (tables.emplace(ids[i].files_id(), task.pid()).second) holders.push_back({task.pid(), task.pidfd()});
    }
    const auto tree_members = std::make_shared<std::set<pid_t>>();
    for (const TaskNode& member : context.tree.members()) tree_members->insert(member.pid);
    std::vector<OpenFile> files = take_open_files(holders);
    ask_for_cloexec(context.tree, files);
    for (OpenFile& file : files) {
      file.id = context.files.next_id();
      file.tree_members = tree_members;
    }
    Numbers numbers = collect_files(context, files);
    for (const img::file_lock_entry& lock : locks_of(files, context.options)) {
      context.images.append(image_file::kFileLocks, lock);
    }
    for (const auto& [files_id, pid] : tables) {
      const std::string image = image_file::fdinfo(files_id);
      context.images.create(image);
      for (const auto& [fd, info] : numbers[pid]) context.images.append(image, info);
    }
  }

 private:
  // Some close-on-exec flags are missing in fdinfo; the tasks themselves are asked for them.
  static void ask_for_cloexec(FrozenTree& tree, std::vector<OpenFile>& files) {
    std::map<pid_t, std::vector<OpenFile::Number*>> unknown;
    for (OpenFile& file : files) {
      if (!file.cloexec_is_unknown) continue;
      for (OpenFile::Number& number : file.numbers) unknown[number.pid].push_back(&number);
    }
    for (auto& [pid, numbers] : unknown) {
      FrozenTask& task = *tree.find(pid);
      const ArenaScope scratch(task.arena());
      RemoteBatch batch(task.arena(), numbers.size());
      for (const OpenFile::Number* number : numbers) batch.add("asking for FD_CLOEXEC", SYS_fcntl, number->fd, F_GETFD);
      task.remote(0).run(batch);
      for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i]->cloexec = (batch.checked(i) & FD_CLOEXEC) != 0;
    }
  }

  using Numbers = std::map<pid_t, std::map<uint32_t, img::fdinfo_entry>>;

  // Appends to `files` the descriptions that are in flight in sockets.
  static Numbers collect_files(CollectContext& context, std::vector<OpenFile>& files) {
    const std::vector<FdKindPtr> kinds = make_fd_kinds();
    FdContext fd_context{context, files};
    Numbers numbers;
    for (const FdKindPtr& kind : kinds) {
      kind->discover(fd_context);
      for (OpenFile& file : std::exchange(fd_context.arrived, {})) files.push_back(std::move(file));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      img::file_entry entry;
      entry.set_id(files[i].id);
      FdKind& kind = kind_of(kinds, files[i]);
      kind.collect(files[i], fd_context, entry);
      for (const OpenFile::Number& number : files[i].numbers) {
        img::fdinfo_entry info;
        info.set_id(files[i].id);
        info.set_flags(number.cloexec ? 1 : 0);
        info.set_type(entry.type());
        info.set_fd(static_cast<uint32_t>(number.fd));
        numbers[number.pid][info.fd()] = info;
      }
      context.files.add(std::move(entry));
    }
    for (const FdKindPtr& kind : kinds) kind->finish(fd_context);
    return numbers;
  }
};

// Writes files.img, after all collectors that add to it.
class Files final : public Collector {
 public:
  const char* name() const override { return "files"; }
  void collect_tree(CollectContext& context) override {
    context.images.create(image_file::kFiles);
    for (const img::file_entry* entry : context.files.entries()) context.images.append(image_file::kFiles, *entry);
  }
};

}  // namespace

CollectorPtr make_descriptors_collector() {
  return std::make_unique<Descriptors>();
}
CollectorPtr make_files_collector() {
  return std::make_unique<Files>();
}

}  // namespace crx
