// The rules that the tasks of one session must keep at this destination.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/policy/capabilities.hpp"

namespace crx {

// A range of user or group ids; both ends are included.
struct IdRange {
  uint32_t first = 0, last = 0;
  bool operator==(const IdRange&) const = default;
};

// The credentials of one thread (credentials(7), capabilities(7)). In a set, bit n is capability n.
struct TaskCredentials {
  std::array<uint32_t, 4> uids = {}, gids = {};  // real, effective, saved, filesystem
  std::vector<uint32_t> groups;
  uint64_t inheritable = 0, permitted = 0, effective = 0, bounding = 0, ambient = 0;
  uint32_t securebits = 0;
};

// A rule that is not kept, as one line for the user: "object reason; remedy".
struct Breach {
  std::string object, reason, remedy;
};

// A value; a default one allows everything. The functions compare numbers and make no system calls, so they may be
// called while the tree is stopped. Each kind of rule has two: one tells the breach, for a source that asks; the other
// throws Error(refused) with the same words, right before the thing is done.
struct Policy {
  static constexpr uint64_t kMostImageBytes = uint64_t{1} << 30;   // limit where no rule is lower
  static constexpr uint64_t kMostDescriptors = uint64_t{1} << 20;  // limit for all tables of a tree together

  std::vector<IdRange> uids, gids;       // that any task may have, in any of its ids and groups; empty: all
  std::optional<uint64_t> capabilities;  // that any task may have; nullopt: see allowed_capabilities()
  uint64_t max_memory = 0;               // bytes; 0: no limit
  uint64_t max_image_memory = 0;         // bytes; 0: see image_limit()
  uint64_t max_tasks = 0;                // threads and zombies of the whole tree; 0: no limit
  std::vector<std::string> files;        // absolute paths of the directories below which files may be made

  bool operator==(const Policy&) const = default;

  bool allows_uid(uint32_t uid) const noexcept;
  bool allows_gid(uint32_t gid) const noexcept;
  // Where no rule says it: all if uid 0 is allowed, else none.
  uint64_t allowed_capabilities() const noexcept;
  // Where no rule says it: max_memory, but at most kMostImageBytes.
  uint64_t image_limit() const noexcept;

  // Returns the directory of `files` below which the path lies; nullptr: none, or it is not a plain absolute path.
  const std::string* directory_of(const std::string& path) const noexcept;
  // mode: of a file that belongs to these ids, with its type (inode(7)). Set-id bits need ids that a task may have, and
  // for root all capabilities; devices need CAP_MKNOD. Throws Error(refused) that names the path.
  void check_file(const std::string& path, uint32_t mode, uint32_t uid, uint32_t gid) const;

  // Checks every id, every group, and the inheritable, permitted, effective and ambient set. The bounding set is
  // checked where an id is 0, since executing a program then makes it the permitted set; other tasks get from it only
  // what set-uid programs and file capabilities of this host give to each of its users. Securebits that only a
  // privileged task can set (security/commoncap.c) need CAP_SETPCAP.
  std::vector<Breach> breaches(const TaskCredentials& credentials) const;
  void check(const TaskCredentials& credentials, pid_t pid) const;
  // For what root opens for a task that needs a capability to do it itself. object: begins the message.
  void check_capability(unsigned capability, const std::string& object) const;
  // bytes: what the tree's mappings may come to need (ClaimedMemory), or what its pages take up.
  std::optional<Breach> memory_breach(uint64_t bytes) const;
  void check_memory(uint64_t bytes) const;
  // tasks: the number of threads of all processes, and of zombies.
  std::optional<Breach> tasks_breach(uint64_t tasks) const;
  void check_tasks(uint64_t tasks) const;
  // bytes: all images of a session that are in memory at the same time.
  void check_images(uint64_t bytes) const;
  // descriptors: of all tables of the tree.
  void check_descriptors(uint64_t descriptors) const;
};

}  // namespace crx
