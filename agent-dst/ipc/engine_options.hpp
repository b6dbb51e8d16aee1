// What the supervisor tells the engine of a session.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace crx {

struct EngineOptions {
  std::string session;  // 32 hex digits
  std::string peer;     // who asks, for messages: "name (address)"
  std::string store;    // journals are in store/journal
  std::string hook;
  pid_t front = 0;  // the process that hears the network for this session; 0: none but the caller
  std::vector<std::pair<uint32_t, uint32_t>> allow_uid;
  uint64_t max_memory = 0;
  // To be called once the tree runs: tells the supervisor which of its children is the session's root task (pid as
  // this process sees it). The supervisor logs its exit and, where Hello.wait was set, reports Exited to the source,
  // also after this engine has ended.
  std::function<void(pid_t root)> root_resumed;
};

}  // namespace crx
