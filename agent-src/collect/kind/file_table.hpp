// Files by identity: every regular file, directory or device that a task maps, executes or has as a directory gets one
// id.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

class LinkRemaps;

// The owner entry of a description that has none (F_SETOWN): the image format requires one.
img::fown_entry no_owner();

// Assigns the ids of files.img and keeps the entries. Lives as long as the migration, so that a mapped file has the
// same id in every round. Not thread-safe.
class FileTable {
 public:
  // Adds a file that is mapped, executed or a directory of the task (mapping, exe, cwd, root); all who use it in the
  // same way share the entry. Returns its id.
  // link: a /proc link to open it by (".../map_files/..", ".../exe"). shown: its path as maps or readlink show it; the
  // caller has removed " (deleted)" and says so in `deleted`. open_flags: O_RDONLY or O_RDWR [| O_DIRECTORY].
  // Throws Error(refused) for a deleted file that has another name somewhere.
  uint32_t add_path(const std::string& link, const std::string& shown, bool deleted, uint32_t open_flags);
  // Adds an entry for an open file description. The caller has taken a new id from next_id() and set it in the entry
  // and in its inner message.
  uint32_t next_id() { return ++last_id_; }
  void add(img::file_entry entry);

  // nullptr: no such entry.
  const img::file_entry* find(uint32_t id) const;
  // Returns all entries in ascending order of id; they belong to this table.
  std::vector<const img::file_entry*> entries() const;

  // Names a file that the destination does not have, or has with other content: its content is carried along, and it
  // gets its name there (--with-files). To be called before the file is added.
  void carry(const std::string& path) { carried_.insert(path); }
  bool is_carried(const std::string& path) const { return carried_.contains(path); }

  // --link-remap: `links` makes another name for each file whose name was removed while the file has one somewhere
  // else. Borrowed; must outlive this table. nullptr: such files are refused.
  void set_links(LinkRemaps* links) { links_ = links; }
  LinkRemaps* links() const { return links_; }
  // Gives the file behind `link`, which is entry `id`, a new name beside its old `path`.
  void add_linked(uint32_t id, const std::string& link, const std::string& path, const struct stat& st);
  // An entry of remap-fpath.img for such a file.
  struct Linked {
    uint32_t id;
    uint32_t named_as;  // the entry that has the new name
  };
  const std::vector<Linked>& linked() const noexcept { return linked_; }

  // A file whose content must be carried along: a deleted one, or a named one (carry). The collector of ghost files
  // reads these.
  struct Deleted {
    uint32_t id;
    std::string link;  // leads to the content as long as the task holds it
    std::string path;
    uint32_t ghost = 0;                   // GHOST in ghost-file-GHOST.img: one per inode, the same in every round
    std::shared_ptr<const Fd> held = {};  // keeps `link` valid if no task does
    bool named = false;
  };
  const std::vector<Deleted>& deleted() const noexcept { return deleted_; }
  // Returns true on the first call for this inode: that caller writes the memfd_inode_entry.
  bool first_memfd(uint64_t inode) { return memfds_.insert(inode).second; }
  // st: stat(2) of the file. Sets `ghost`, and `named` if the path is to be carried.
  void add_deleted(Deleted file, const struct stat& st);

 private:
  // path: without " (deleted)", which `deleted` says.
  uint32_t add_path(const std::string& link, const struct stat& st, const std::string& path, bool deleted,
                    uint32_t open_flags);
  using Key = std::tuple<dev_t, ino_t, std::string, uint32_t>;
  std::map<Key, uint32_t> by_path_;
  std::map<uint32_t, img::file_entry> entries_;
  std::vector<Deleted> deleted_;
  std::map<std::pair<dev_t, ino_t>, uint32_t> ghosts_;
  std::set<uint64_t> memfds_;
  std::set<std::string> carried_;
  LinkRemaps* links_ = nullptr;
  std::vector<Linked> linked_;
  uint32_t last_id_ = 0;
};

}  // namespace crx
