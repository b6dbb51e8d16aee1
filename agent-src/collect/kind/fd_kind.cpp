#include "agent-src/collect/kind/fd_kind.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/error.hpp"
#include "common/kernel/process/kcmp.hpp"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

namespace crx {

uint32_t FdContext::add(OpenFile file) {
  const TaskFd added{::getpid(), file.own.get()};
  for (const std::vector<OpenFile>* list : {&std::as_const(files), &std::as_const(arrived)}) {
    for (const OpenFile& known : *list) {
      if (known.st.st_ino == file.st.st_ino && compare_files(added, {added.pid, known.own.get()}) == FileOrder::equal)
        return known.id;
    }
  }
  file.id = task.files.next_id();
  arrived.push_back(std::move(file));
  return arrived.back().id;
}

img::crx_file_entry& FdContext::extra(const OpenFile& file) {
  // The entries are in the root's message, whichever task holds the file.
  for (img::crx_file_entry& entry : *task.extra.mutable_files()) {
    if (entry.id() == file.id) return entry;
  }
  img::crx_file_entry& entry = *task.extra.add_files();
  entry.set_id(file.id);
  return entry;
}

namespace {

// Whether the signals of a file go to a process of the tree.
bool is_own(const OpenFile& file, const f_owner_ex& owner) {
  if (owner.type == F_OWNER_PID) return file.is_in_tree(owner.pid);
  const auto is = [&](pid_t pid) {
    if (owner.type == F_OWNER_PGRP) return owner.pid == ::getpgid(pid);
    return ::access(("/proc/" + std::to_string(pid) + "/task/" + std::to_string(owner.pid)).c_str(), F_OK) == 0;
  };
  return is(file.pid) || (file.tree_members && std::any_of(file.tree_members->begin(), file.tree_members->end(), is));
}

}  // namespace

img::fown_entry read_file_owner(const OpenFile& file) {
  img::fown_entry entry;
  f_owner_ex owner{};
  uint32_t uids[2] = {0, 0};
  const int fd = file.own.get();
  // O_PATH descriptors support none of these calls.
  const int signum = file.path_only() ? 0 : ::fcntl(fd, F_GETSIG);
  const bool owned = !file.path_only() && ::fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.pid != 0;
  if (owned) static_cast<void>(::fcntl(fd, F_GETOWNER_UIDS, uids));
  if (owned && !is_own(file, owner)) {
    refuse(file, "its signals (F_SETOWN) go to process " + std::to_string(owner.pid) + ", which does not move along",
           "end that process, or close the descriptor");
  }
  entry.set_uid(uids[0]);
  entry.set_euid(uids[1]);
  entry.set_signum(signum > 0 ? static_cast<uint32_t>(signum) : 0);
  entry.set_pid_type(owned ? static_cast<uint32_t>(owner.type) : 0);
  entry.set_pid(owned ? static_cast<uint32_t>(owner.pid) : 0);
  return entry;
}

void refuse(const OpenFile& file, const std::string& reason, const std::string& remedy) {
  throw Error(ErrorCode::refused, "collecting descriptors", file.label() + ": " + reason)
      .with_pid(file.pid)
      .with_hint(remedy);
}

Refusal refusal_of(const OpenFile& file, const std::string& reason, const std::string& remedy) {
  return {file.label(), reason, remedy};
}

}  // namespace crx
