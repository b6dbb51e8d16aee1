#include "agent-src/collect/sockets/unix_name.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cctype>

#include "agent-src/collect/kind/file_name.hpp"
#include "common/base/error.hpp"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

namespace crx {
namespace {

// Removes the terminating zero byte.
std::string path_of(const std::string& sun_path) {
  return sun_path.substr(0, sun_path.find('\0'));
}

// Returns the directory to which a relative name refers if the file is at `path`; "" if that does not follow from the
// path.
std::string directory_for(const std::string& name, const std::string& path) {
  const std::string tail = "/" + name;
  if (!path.ends_with(tail)) return {};
  return path.size() == tail.size() ? "/" : path.substr(0, path.size() - tail.size());
}

}  // namespace

std::string printable_name(const std::string& sun_path) {
  const bool abstract = !sun_path.empty() && sun_path.front() == '\0';
  std::string text = abstract ? "@" + sun_path.substr(1) : path_of(sun_path);
  for (char& c : text) {
    if (std::isprint(static_cast<unsigned char>(c)) == 0) c = '?';
  }
  return text;
}

void collect_unix_name(const OpenFile& file, const UnixSocketInfo& info, img::unix_sk_entry& entry,
                       img::crx_unix_socket& extra) {
  entry.set_name(info.name);
  if (!info.named || !info.has_file) return;
  // SIOCUNIXFILE returns an O_PATH descriptor of the bound file, also if its name is gone (unix_open_file, Linux 4.13).
  const Fd bound(::ioctl(file.own.get(), SIOCUNIXFILE));
  if (!bound) throw_errno("looking for a socket's file", file.label());
  const std::string ours = "/proc/self/fd/" + std::to_string(bound.get());
  struct stat st {};
  if (::stat(ours.c_str(), &st) != 0) throw_errno("looking for a socket's file", file.label());
  img::file_perms_entry& perms = *entry.mutable_file_perms();
  perms.set_mode(st.st_mode);
  perms.set_uid(st.st_uid);
  perms.set_gid(st.st_gid);

  const FileName found = find_name(file.pid, read_link(ours), st);
  const std::string name = path_of(info.name);
  if (found.state == NameState::unlinked || found.state == NameState::hidden) {
    const NameProblem problem = explain(found.state);
    refuse(file, "the file of its name " + printable_name(info.name) + ": " + problem.reason, problem.remedy);
  }
  if (found.state == NameState::deleted) entry.set_deleted(true);
  if (name.starts_with('/')) {
    if (found.path != name) extra.set_path(found.path);
    return;
  }
  const std::string directory = directory_for(name, found.path);
  if (!directory.empty()) entry.set_name_dir(directory);
  if (directory.empty()) extra.set_path(found.path);
}

}  // namespace crx
