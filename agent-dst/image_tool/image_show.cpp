#include "agent-dst/image_tool/image_show.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/size.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/mm.pb.h"

namespace crx {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMaxIndent = 60;

struct ShownTask {
  img::pstree_entry place;
  std::size_t depth = 0;
  std::string comm = "?";
  bool dead = false;
  std::optional<std::pair<uint64_t, uint64_t>> bytes;         // bytes of pages: in this set, in its parents
  std::optional<std::pair<int, std::string>> memory;          // number of mappings, executable
  std::vector<std::pair<uint32_t, std::string>> descriptors;  // number, description
};

std::string describe_file(const img::file_entry& file) {
  if (file.has_reg()) return file.reg().name();
  if (file.has_pipe()) return fmt::format("pipe {}", file.pipe().pipe_id());
  if (file.has_memfd()) return fmt::format("memfd {}", file.memfd().inode_id());
  std::string kind = img::fd_types_Name(file.type());
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return kind;
}

const char* describe_kind(const img::crx_manifest_entry& head) {
  if (head.kind() == img::crx_manifest_entry::PRE_DUMP) return "a pre-dump";
  return head.kind() == img::crx_manifest_entry::CHECK_ONLY ? "a check without pages" : "a dump";
}

std::string made_at(const img::crx_manifest_entry& head, const char* format) {
  return fmt::format(fmt::runtime(format), fmt::gmtime(static_cast<std::time_t>(head.time_ns() / 1'000'000'000)));
}

class Reader {
 public:
  explicit Reader(const ImageSet& set) : set_(set), images_(set.images()) {
    for (const auto& file : images_.read_all<img::file_entry>(image_file::kFiles)) files_[file.id()] = file;
  }

  // Each task once: the root of a tree first, then each child followed by its descendants.
  std::vector<ShownTask> tasks() const {
    const auto places = images_.read_all<img::pstree_entry>(image_file::kPstree);
    std::multimap<uint32_t, const img::pstree_entry*> children;
    for (const img::pstree_entry& place : places) children.emplace(place.ppid(), &place);
    std::vector<std::pair<const img::pstree_entry*, std::size_t>> next;
    const auto take_children = [&](uint32_t parent, std::size_t depth) {
      const auto [from, to] = children.equal_range(parent);
      const std::size_t before = next.size();
      for (auto at = from; at != to; ++at) next.emplace_back(at->second, depth);
      std::reverse(next.begin() + static_cast<std::ptrdiff_t>(before), next.end());
      children.erase(from, to);
    };
    std::vector<ShownTask> out;
    take_children(0, 0);
    while (!next.empty()) {
      const auto [place, depth] = next.back();
      next.pop_back();
      out.push_back(task(*place, depth));
      take_children(place->pid(), depth + 1);
    }
    return out;
  }

 private:
  ShownTask task(const img::pstree_entry& place, std::size_t depth) const {
    ShownTask shown;
    shown.place = place;
    shown.depth = depth;
    const uint32_t pid = place.pid();
    if (images_.contains(image_file::core(pid))) {
      const auto core = images_.read_one<img::core_entry>(image_file::core(pid));
      shown.comm = core.tc().comm();
      shown.dead = core.tc().task_state() == task_state::kZombie;
    }
    if (shown.dead) return shown;
    if (images_.contains(image_file::pagemap(pid))) {
      shown.bytes.emplace(0, 0);
      for (const PagePiece& piece : set_.pages({PageSpace::Kind::mm, pid})) {
        (piece.level == 0 ? shown.bytes->first : shown.bytes->second) += piece.range.bytes();
      }
    }
    if (const auto mm = images_.try_read_one<img::mm_entry>(image_file::mm(pid))) {
      shown.memory.emplace(mm->vmas_size(), name_of(mm->exe_file_id()));
    }
    if (const auto ids = images_.try_read_one<img::task_kobj_ids_entry>(image_file::ids(pid))) {
      for (const auto& fd : images_.read_all<img::fdinfo_entry>(image_file::fdinfo(ids->files_id()))) {
        shown.descriptors.emplace_back(fd.fd(), name_of(fd.id()));
      }
    }
    return shown;
  }

  std::string name_of(uint32_t file) const {
    const auto found = files_.find(file);
    return found == files_.end() ? "?" : describe_file(found->second);
  }

  const ImageSet& set_;
  const DirectorySource& images_;
  std::map<uint32_t, img::file_entry> files_;
};

// The signature is not checked here, which takes the authority's certificate.
bool has_signature(const DirectorySource& level) {
  return level.contains(image_file::kCrxSignature);
}

std::string origin_text(const DirectorySource& level, const Manifest* manifest) {
  const std::string& path = level.path();
  if (manifest == nullptr) return fmt::format("{}: made by CRIU\n", path);
  const img::crx_manifest_entry& head = manifest->head();
  return fmt::format("{}: {} of process {} ({}), made on {} (Linux {}) by crx {} at {} UTC{}{}\n", path,
                     describe_kind(head), head.pid(), head.comm(), head.host(), head.kernel(), head.tool(),
                     made_at(head, "{:%F %T}"),
                     head.deduplicated() ? "; pages that a later set replaced were freed" : "",
                     has_signature(level) ? "; has a signature, which verify --require-signature checks" : "");
}

ordered_json origin_json(const DirectorySource& level, const Manifest* manifest) {
  ordered_json out = {{"path", level.path()}, {"made_by", manifest == nullptr ? "criu" : "crx"}};
  if (manifest == nullptr) return out;
  const img::crx_manifest_entry& head = manifest->head();
  const char* kind = head.kind() == img::crx_manifest_entry::PRE_DUMP     ? "pre-dump"
                     : head.kind() == img::crx_manifest_entry::CHECK_ONLY ? "check-only"
                                                                          : "dump";
  out.update({{"kind", kind},
              {"pid", head.pid()},
              {"comm", head.comm()},
              {"host", head.host()},
              {"kernel", head.kernel()},
              {"tool", head.tool()},
              {"time", made_at(head, "{:%FT%TZ}")},
              {"deduplicated", head.deduplicated()},
              {"signature", has_signature(level)}});
  return out;
}

std::string task_text(const ShownTask& task) {
  const std::string indent(std::min(task.depth * 2, kMaxIndent), ' ');
  const int threads = task.place.threads_size();
  std::string out =
      fmt::format("{}{} {}{}  session {}, group {}, {} thread{}\n", indent, task.place.pid(), task.comm,
                  task.dead ? " (dead)" : "", task.place.sid(), task.place.pgid(), threads, threads == 1 ? "" : "s");
  if (task.bytes) {
    out += fmt::format("{}  memory: {} in this set, {} in its parents\n", indent, format_size(task.bytes->first),
                       format_size(task.bytes->second));
  }
  if (task.memory) out += fmt::format("{}  {} mappings; runs {}\n", indent, task.memory->first, task.memory->second);
  for (const auto& [fd, file] : task.descriptors) out += fmt::format("{}  fd {}: {}\n", indent, fd, file);
  return out;
}

ordered_json task_json(const ShownTask& task) {
  ordered_json out = {{"pid", task.place.pid()},
                      {"ppid", task.place.ppid()},
                      {"sid", task.place.sid()},
                      {"pgid", task.place.pgid()},
                      {"comm", task.comm},
                      {"dead", task.dead},
                      {"threads", task.place.threads_size()}};
  if (task.bytes) out.update({{"bytes", task.bytes->first}, {"parent_bytes", task.bytes->second}});
  if (task.memory) out.update({{"mappings", task.memory->first}, {"exe", task.memory->second}});
  out["fds"] = ordered_json::array();
  for (const auto& [fd, file] : task.descriptors) out["fds"].push_back({{"fd", fd}, {"file", file}});
  return out;
}

}  // namespace

std::string show_set(const ImageSet& set) {
  std::string out;
  for (std::size_t level = 0; level < set.levels(); ++level) out += origin_text(set.level(level), set.manifest(level));
  for (const ShownTask& task : Reader(set).tasks()) out += task_text(task);
  return out;
}

std::string show_set_json(const ImageSet& set) {
  ordered_json out = {{"sets", ordered_json::array()}, {"tasks", ordered_json::array()}};
  for (std::size_t level = 0; level < set.levels(); ++level)
    out["sets"].push_back(origin_json(set.level(level), set.manifest(level)));
  for (const ShownTask& task : Reader(set).tasks()) out["tasks"].push_back(task_json(task));
  // Bytes that are not UTF-8 are replaced and do not cause an exception.
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace crx
