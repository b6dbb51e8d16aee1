// Where files may be made for a tree, as whom, and as whom those that are there are used.
#pragma once

#include <map>
#include <string>

#include "agent-dst/files/fs_credentials.hpp"
#include "agent-dst/files/task_files.hpp"
#include "agent-dst/policy/policy.hpp"

namespace crx {

// A file that this host has asked the source to carry along.
struct CarryPermit {
  std::string directory;  // the one of --allow-files below which it lies
  FsIds ids;              // of the task that has it open
};

inline FsIds fs_ids_of(const TaskCredentials& task) {
  return {task.uids[3], task.gids[3], task.groups, task.effective};
}

struct FileRules {
  Policy policy;       // decides about set-id bits and devices
  std::string ghosts;  // directory in which deleted files are made; empty: the directories that they were in, or /tmp
  std::map<std::string, CarryPermit> carried = {};  // by path; no other file may be carried
  TaskFiles tasks = {};                             // how files that are there already are found and opened
};

}  // namespace crx
