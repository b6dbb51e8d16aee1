// The descriptor table: fdinfo-ID.img, and what every description is, by its kind.
#include <algorithm>

#include "agent-src/collect/fd_kind.hpp"
#include "agent-src/collect/file_locks.hpp"
#include "agent-src/collect/registry.hpp"
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
    const std::string problem = lock_problem(lock);
    if (!problem.empty()) context.refusals.push_back(refusal_of(file, problem, "let the program release it"));
  }
  if (!file.info.locks.empty() && !context.options.file_locks) {
    context.refusals.push_back(refusal_of(file, kLockReason, kLockRemedy));
  }
}

class Descriptors final : public Collector {
 public:
  const char* name() const override { return "descriptors"; }

  void inspect(InspectContext& context) override {
    const std::vector<FdKindPtr> kinds = make_fd_kinds();
    const std::vector<OpenFile> files = list_open_files(context.pid);
    for (const OpenFile& file : files) {
      kind_of(kinds, file).inspect(file, files, context);
      inspect_locks(file, context);
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    std::vector<OpenFile> files = take_open_files(context.task.pid(), context.task.pidfd());
    for (OpenFile& file : files) file.id = context.files.next_id();
    const std::vector<FdKindPtr> kinds = make_fd_kinds();
    FdContext fd_context{context, files};
    std::vector<std::pair<uint32_t, img::fdinfo_entry>> numbers;
    for (OpenFile& file : files) {
      img::file_entry entry;
      entry.set_id(file.id);
      kind_of(kinds, file).collect(file, fd_context, entry);
      for (const OpenFile::Number& number : file.numbers) {
        img::fdinfo_entry info;
        info.set_id(file.id);
        info.set_flags(number.cloexec ? 1 : 0);
        info.set_type(entry.type());
        info.set_fd(static_cast<uint32_t>(number.fd));
        numbers.emplace_back(info.fd(), info);
      }
      context.files.add(std::move(entry));
    }
    for (const FdKindPtr& kind : kinds) kind->finish(fd_context);
    for (const img::file_lock_entry& lock : locks_of(files, context.options)) {
      context.images.append(image_file::kFileLocks, lock);
    }
    const std::string image = image_file::fdinfo(context.core().ids().files_id());
    context.images.create(image);
    std::sort(numbers.begin(), numbers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [fd, info] : numbers) context.images.append(image, info);
  }
};

// files.img, after everyone who adds to it.
class Files final : public Collector {
 public:
  const char* name() const override { return "files"; }
  void collect(CollectContext& context, const BatchPlan&) override {
    context.images.create(image_file::kFiles);
    for (const img::file_entry* entry : context.files.entries()) context.images.append(image_file::kFiles, *entry);
  }
};

}  // namespace

CollectorPtr make_descriptors_collector() { return std::make_unique<Descriptors>(); }
CollectorPtr make_files_collector() { return std::make_unique<Files>(); }

}  // namespace crx
