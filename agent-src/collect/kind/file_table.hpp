// Files by identity: every regular file, directory or device that a task maps, runs or stands in gets one id.
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

// Of a description that has none (F_SETOWN): the format wants one to be told.
img::fown_entry no_owner();

// Hands out the ids of files.img and keeps the entries. Lives as long as the session, so that a mapped file has the
// same id in every round. Not thread-safe.
class FileTable {
 public:
  // A file that is mapped, executed or stood in (exe, mapping, cwd, root): shared by everyone who uses it the same
  // way. link: a /proc link to open it by (".../map_files/..", ".../exe"); shown: its path as maps or readlink show it,
  // " (deleted)" stripped by the caller and told in `deleted`; open_flags: O_RDONLY or O_RDWR [| O_DIRECTORY].
  // Throws Error(refused) for a deleted file that has another name somewhere.
  uint32_t add_path(const std::string& link, const std::string& shown, bool deleted, uint32_t open_flags);
  // An entry for an open file description; sets entry.id (and the inner message's) itself: the caller passes the new
  // id it got from next_id().
  uint32_t next_id() { return ++last_id_; }
  void add(img::file_entry entry);

  const img::file_entry* find(uint32_t id) const;
  // All entries in ascending order of id.
  std::vector<const img::file_entry*> entries() const;

  // Named files that the destination does not have, or has otherwise: their content is carried along, and they get
  // their names there (--with-files). Before they are added.
  void carry(const std::string& path) { carried_.insert(path); }
  bool is_carried(const std::string& path) const { return carried_.contains(path); }

  // --link-remap: files whose name was removed get another one, made by `links`, where the file has one somewhere.
  // nullptr: they are refused.
  void set_links(LinkRemaps* links) { links_ = links; }
  LinkRemaps* links() const { return links_; }
  // Gives the file behind `link`, which is entry `id`, a name beside its old `path`.
  void add_linked(uint32_t id, const std::string& link, const std::string& path, const struct stat& st);
  // The entries of remap-fpath.img for those.
  struct Linked {
    uint32_t id;
    uint32_t named_as;  // the entry with the new name
  };
  const std::vector<Linked>& linked() const noexcept { return linked_; }

  // Files whose content must be carried along: deleted ones, and named ones (carry). Consumed by the collector of ghost
  // files.
  struct Deleted {
    uint32_t id;
    std::string link;  // to read the content from, as long as it is there
    std::string path;
    uint32_t ghost = 0;                   // of ghost-file-GHOST.img: one per inode, the same in every round
    std::shared_ptr<const Fd> held = {};  // what keeps `link` valid where no task does
    bool named = false;
  };
  const std::vector<Deleted>& deleted() const noexcept { return deleted_; }
  // True the first time it is asked for this inode: who gets it writes the memfd_inode_entry.
  bool first_memfd(uint64_t inode) { return memfds_.insert(inode).second; }
  // st: of the file. Sets its ghost, and `named` where its path is to be carried.
  void add_deleted(Deleted file, const struct stat& st);

 private:
  // path: without " (deleted)" where that is what `deleted` tells.
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
