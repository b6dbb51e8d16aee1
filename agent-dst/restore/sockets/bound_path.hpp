// Where a unix socket is bound: a file that only the commit puts under its name.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// sun_path, 1 to 108 bytes. Abstract names begin with a zero byte.
inline bool is_abstract(const std::string& sun_path) {
  return !sun_path.empty() && sun_path.front() == '\0';
}
// Text for messages: "@abstract", "/run/x.sock".
std::string printable_socket_name(const std::string& sun_path);

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};
// Error(corrupt_image) when it does not fit.
UnixAddress unix_address(const std::string& sun_path);
// Leads to the file that our descriptor `bound` (O_PATH) refers to, whatever its name is; in the process that has it as
// this number.
UnixAddress address_of_fd(int bound);

// Binds a socket under a path. The kernel keeps the path as it was given, and programs see it; where the file really
// lies is another matter. bind() is called with the path of the images, seen from a root directory of our own: a folder
// beside the final place, and on the same filesystem. publish() moves the file to its name. Until then nobody finds it.
class BoundPath {
 public:
  // sun_path: a path, absolute or relative. final_path: absolute; "" for a socket whose file is gone: it is bound in
  // the folder for temporary files and has no file when this returns. Throws Error(refused) naming the path where
  // something else is there, a socket in use among it.
  BoundPath(int fd, const std::string& sun_path, const std::string& final_path);
  BoundPath(const BoundPath&) = delete;
  BoundPath& operator=(const BoundPath&) = delete;
  // What did not take its place goes.
  ~BoundPath();

  // The file, as long as anything refers to it; O_PATH.
  int file() const noexcept { return file_.get(); }
  // Whether `path`, which has no symbolic links in it, is the name that the file gets.
  bool is_for(const std::string& path) const;
  // A description of the file by its name of now, which follows it to its place: for O_PATH, with `flags`.
  Fd open_path(int flags) const;
  void set_owner(uint32_t mode, uint32_t uid, uint32_t gid);

  // The file gets its name, atomically; what had the name is kept until this object goes, and comes back with
  // give_back().
  void publish();
  void rollback() noexcept;

 private:
  void make_folder(const std::string& sun_path);
  void bind_inside(int fd, const std::string& sun_path);
  void remove_folder() noexcept;

  std::string final_;  // "" for none
  std::string folder_;
  Fd lock_;                        // of the folder: says that we live
  std::vector<std::string> made_;  // directories below it, in the order of making
  std::string inner_;              // the file there
  std::string start_;              // inside the folder: where relative paths begin
  Fd file_;
  bool replaced_ = false;  // something else had the name
  bool placed_ = false;
};

}  // namespace crx
