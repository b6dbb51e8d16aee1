// Binds a unix socket to a path that only the commit makes visible.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <memory>
#include <string>
#include <vector>

#include "agent-dst/files/task_files.hpp"
#include "common/base/fd.hpp"

namespace crx {

// sun_path has 1 to 108 bytes. Abstract names begin with a zero byte.
inline bool is_abstract(const std::string& sun_path) {
  return !sun_path.empty() && sun_path.front() == '\0';
}
// Formats the name for messages: "@abstract", "/run/x.sock".
std::string printable_socket_name(const std::string& sun_path);

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};
// Throws Error(corrupt_image) if the name does not fit.
UnixAddress unix_address(const std::string& sun_path);
// Returns an address that leads to the file that our descriptor `bound` (O_PATH) refers to, whatever its name is. Valid
// in the process that has the file under this number.
UnixAddress address_of_fd(int bound);

// Binds a socket to a path. The kernel keeps the path as it was given to bind(2), and programs see it, but the file may
// lie elsewhere. So bind(2) is called with the path of the images in a thread whose root directory is a folder beside
// the final place, on the same filesystem. publish() moves the file to its name; until then no other process finds it.
//
// The directory is opened once, and everything is done below that descriptor with the credentials of the task that has
// the socket. Where the task may make nothing there, the agent does it, if it helps (TaskFiles) and no symbolic link is
// on the way.
class BoundPath {
 public:
  // As whom a path is bound.
  struct User {
    const TaskFiles& files;  // must outlive the BoundPath
    pid_t task = 0;
  };
  // sun_path: a path, absolute or relative. final_path: absolute; "" for a socket whose file is gone: it is bound in
  // the folder for temporary files, by the agent, and has no file when the constructor returns. Throws Error(refused)
  // that names the path if it is occupied, for example by a socket in use, or nothing can be made in its directory.
  BoundPath(int fd, const std::string& sun_path, const std::string& final_path, User user);
  BoundPath(const BoundPath&) = delete;
  BoundPath& operator=(const BoundPath&) = delete;
  // Removes the folder and everything in it: an unpublished socket, or the file that publish() has replaced.
  ~BoundPath();

  // The file as O_PATH descriptor; it stays valid as long as anything refers to the file.
  int file() const noexcept { return file_.get(); }
  // Whether `path`, which has no symbolic links in it, is the name that the file gets.
  bool is_for(const std::string& path) const;
  // Opens the file by its present name, as O_PATH with `flags`; the description follows the file to its place.
  Fd open_path(int flags) const;
  // Sets permissions and owner of the file. Where only root could make it somebody else's, and the agent does not help,
  // it stays the task's. Throws Error(kernel) that names the path.
  void set_owner(uint32_t mode, uint32_t uid, uint32_t gid);

  // Gives the file its name, atomically. A file that had the name is kept until this object is destroyed; rollback()
  // puts it back.
  void publish();
  // Undoes publish(), if it was called. Failures are logged.
  void rollback() noexcept;

 private:
  std::unique_ptr<FsCredentials> as_user() const;
  bool try_make_folder();
  void make_folder(const std::string& sun_path);
  void enter_folder(const std::string& sun_path);
  void bind_inside(int fd, const std::string& sun_path);
  void remove_folder() noexcept;

  User user_;
  bool by_agent_ = false;
  std::string final_;  // "": none
  Fd directory_;       // in which the folder is
  std::string place_;  // the final path by way of directory_
  std::string folder_;
  Fd lock_;                        // a lock on the folder, which shows that we live
  std::vector<std::string> made_;  // directories below the folder, in the order of making
  std::string inner_;              // the file in the folder
  std::string start_;              // inside the folder: where relative paths begin
  Fd file_;
  bool replaced_ = false;  // another file had the name
  bool placed_ = false;
};

}  // namespace crx
