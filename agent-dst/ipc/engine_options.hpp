// The options that the supervisor passes to the engine of a session.
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
  std::string peer;     // the source, for messages: "name (address)"
  std::string store;    // the journals are in store/journal
  std::string hook;
  pid_t front = 0;  // pid of the front that serves this session; 0: unknown here
  std::vector<std::pair<uint32_t, uint32_t>> allow_uid;
  uint64_t max_memory = 0;
  // The engine calls this once the tree runs, with the session's root task (pid as this process sees it). The
  // supervisor then logs the exit of this child and, if Hello.wait was set, reports Exited to the source, even after
  // this engine has ended.
  std::function<void(pid_t root)> root_resumed;
};

}  // namespace crx
