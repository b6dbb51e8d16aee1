// A user's command that is run at the stages of a migration on either host, for example to move an IP address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace crx {

enum class HookStage : uint8_t { pre_freeze, frozen, prepared, committed, resumed, aborted };

// "pre-freeze", "frozen", ...
std::string_view to_string(HookStage stage);

// The variables that the command finds in its environment in addition to those of crx itself.
struct HookContext {
  std::string session;  // CRX_SESSION
  int pid = 0;          // CRX_PID: the root of the tree; not set when 0
  std::string peer;     // CRX_PEER: the other host
  std::string role;     // CRX_ROLE: "source" or "destination"
};

// The command of `--hook CMD`. It does nothing when default-constructed or when the command is empty.
class Hook {
 public:
  static constexpr int64_t kDefaultTimeoutMs = 10'000;

  Hook() = default;
  explicit Hook(std::string command, int64_t timeout_ms = kDefaultTimeoutMs)
      : command_(std::move(command)), timeout_ms_(timeout_ms) {}

  // Runs /bin/sh -c COMMAND with CRX_STAGE and the variables of the context, in a process group of its own, with
  // /dev/null as its input and our stderr as its output, and waits for it. After the timeout (milliseconds) the group
  // is killed. Throws Error(refused), which names the command and how it ended, unless it exits with 0. The victim is
  // not touched.
  void run(HookStage stage, const HookContext& context) const;
  // The same for stages after the decision, where nothing can be refused any more: a failure returns false and logs a
  // warning.
  bool run_noting(HookStage stage, const HookContext& context) const noexcept;

  bool empty() const noexcept { return command_.empty(); }

 private:
  std::string command_;
  int64_t timeout_ms_ = kDefaultTimeoutMs;
};

}  // namespace crx
