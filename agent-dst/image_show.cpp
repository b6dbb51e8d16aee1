#include "agent-dst/image_show.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/base/size.hpp"
#include "common/image/core.pb.h"
#include "common/image/files.pb.h"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/mm.pb.h"

namespace crx {
namespace {

std::string describe_file(const img::file_entry& file) {
  if (file.has_reg()) return file.reg().name();
  if (file.has_pipe()) return fmt::format("pipe {}", file.pipe().pipe_id());
  if (file.has_memfd()) return fmt::format("memfd {}", file.memfd().inode_id());
  std::string kind = img::fd_types_Name(file.type());
  std::transform(kind.begin(), kind.end(), kind.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return kind;
}

class Show {
 public:
  explicit Show(const ImageSet& set) : set_(set), images_(set.images()) {
    for (const auto& file : images_.read_all<img::file_entry>(image_file::kFiles)) files_[file.id()] = file;
    tasks_ = images_.read_all<img::pstree_entry>(image_file::kPstree);
  }

  std::string text() {
    origin();
    for (const img::pstree_entry& task : tasks_) {
      if (task.ppid() == 0) show_task(task, 0);
    }
    return out_;
  }

 private:
  void origin() {
    for (std::size_t level = 0; level < set_.levels(); ++level) {
      const Manifest* manifest = set_.manifest(level);
      if (manifest == nullptr) {
        out_ += fmt::format("{}: made by CRIU\n", set_.level(level).path());
        continue;
      }
      const img::crx_manifest_entry& head = manifest->head();
      const auto seconds = static_cast<std::time_t>(head.time_ns() / 1'000'000'000);
      const char* kind = head.kind() == img::crx_manifest_entry::PRE_DUMP     ? "a pre-dump"
                         : head.kind() == img::crx_manifest_entry::CHECK_ONLY ? "a check without pages"
                                                                              : "a dump";
      out_ += fmt::format("{}: {} of process {} ({}), made on {} (Linux {}) by crx {} at {:%F %T} UTC{}\n",
                          set_.level(level).path(), kind, head.pid(), head.comm(), head.host(), head.kernel(), head.tool(),
                          fmt::gmtime(seconds), head.deduplicated() ? "; pages that a later set replaced were freed" : "");
    }
  }

  void show_task(const img::pstree_entry& task, std::size_t depth) {
    if (depth > tasks_.size()) return;  // somebody is their own ancestor
    const std::string indent(depth * 2, ' ');
    std::string comm = "?";
    bool dead = false;
    if (images_.contains(image_file::core(task.pid()))) {
      const auto core = images_.read_one<img::core_entry>(image_file::core(task.pid()));
      comm = core.tc().comm();
      dead = core.tc().task_state() == task_state::kZombie;
    }
    out_ += fmt::format("{}{} {}{}  session {}, group {}, {} thread{}\n", indent, task.pid(), comm, dead ? " (dead)" : "",
                        task.sid(), task.pgid(), task.threads_size(), task.threads_size() == 1 ? "" : "s");
    if (!dead) {
      show_memory(task.pid(), indent + "  ");
      show_files(task.pid(), indent + "  ");
    }
    for (const img::pstree_entry& child : tasks_) {
      if (child.ppid() == task.pid()) show_task(child, depth + 1);
    }
  }

  void show_memory(uint32_t pid, const std::string& indent) {
    if (images_.contains(image_file::pagemap(pid))) {
      uint64_t here = 0, parents = 0;
      for (const PagePiece& piece : set_.pages({PageSpace::Kind::mm, pid})) {
        (piece.level == 0 ? here : parents) += piece.range.bytes();
      }
      out_ += fmt::format("{}memory: {} in this set, {} in its parents\n", indent, format_size(here), format_size(parents));
    }
    const auto mm = images_.try_read_one<img::mm_entry>(image_file::mm(pid));
    if (!mm) return;
    const auto exe = files_.find(mm->exe_file_id());
    out_ += fmt::format("{}{} mappings; runs {}\n", indent, mm->vmas_size(),
                        exe == files_.end() ? "?" : describe_file(exe->second));
  }

  void show_files(uint32_t pid, const std::string& indent) {
    const auto ids = images_.try_read_one<img::task_kobj_ids_entry>(image_file::ids(pid));
    if (!ids) return;
    for (const auto& fd : images_.read_all<img::fdinfo_entry>(image_file::fdinfo(ids->files_id()))) {
      const auto file = files_.find(fd.id());
      out_ += fmt::format("{}fd {}: {}\n", indent, fd.fd(), file == files_.end() ? "?" : describe_file(file->second));
    }
  }

  const ImageSet& set_;
  const DirectorySource& images_;
  std::map<uint32_t, img::file_entry> files_;
  std::vector<img::pstree_entry> tasks_;
  std::string out_;
};

}  // namespace

std::string show_set(const ImageSet& set) { return Show(set).text(); }

}  // namespace crx
