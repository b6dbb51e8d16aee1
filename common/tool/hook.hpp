// A user's command that is run at the stages of a migration, on either side; this is where an IP address is moved.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace crx {

enum class HookStage : uint8_t { pre_freeze, frozen, prepared, committed, resumed, aborted };

// "pre-freeze", "frozen", ...
std::string_view to_string(HookStage stage);

// What the command finds in its environment, beside crx's own.
struct HookContext {
  std::string session;  // CRX_SESSION
  int pid = 0;          // CRX_PID: root of the tree; 0 leaves it out
  std::string peer;     // CRX_PEER: the other host
  std::string role;     // CRX_ROLE: "source" or "destination"
};

// `--hook CMD`. Default-constructed or with an empty command it does nothing.
class Hook {
 public:
  static constexpr int64_t kDefaultTimeoutMs = 10'000;

  Hook() = default;
  explicit Hook(std::string command, int64_t timeout_ms = kDefaultTimeoutMs)
      : command_(std::move(command)), timeout_ms_(timeout_ms) {}

  // Runs /bin/sh -c COMMAND with CRX_STAGE and the context's variables, /dev/null as its input and our stderr as its
  // output, in a process group of its own, and waits. After the timeout the group is killed. Throws
  // Error(refused), naming the command and how it ended, unless it exits with 0. The victim is not touched.
  void run(HookStage stage, const HookContext& context) const;
  // The same for stages after the decision, where nothing can be refused any more: false, and a warning in the log.
  bool run_noting(HookStage stage, const HookContext& context) const noexcept;

  bool empty() const noexcept { return command_.empty(); }

 private:
  std::string command_;
  int64_t timeout_ms_ = kDefaultTimeoutMs;
};

}  // namespace crx
