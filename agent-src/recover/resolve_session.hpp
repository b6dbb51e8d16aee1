// Finishes a session at its source, when the crx-migrate that began it has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/base/endpoint.hpp"

namespace crx {

struct ResolveRequest {
  std::string state_dir;  // holds journal/
  std::string session;
  std::optional<Endpoint> to;              // in place of the address in the journal, if the destination has moved
  std::string tls_dir;                     // empty: the one in the journal
  std::function<bool()> stop;              // asked between two attempts; true gives the session up for now
  std::function<void(std::string)> waits;  // called after each attempt without a verdict, with the reason
};

enum class Resolution : uint8_t {
  moved,       // the process runs at the destination, and the original is gone
  discarded,   // the original is gone, by a human's decision; nobody has asked whether the process runs elsewhere
  stays,       // the original runs on here
  ended,       // it runs at neither host: the destination has it not, and the original had ended here
  unresolved,  // given up for now: nothing has changed
};

// Whether the journal is that of a source, says neither DONE nor ABORTED, and is used by no process. Throws Error.
bool is_left_unfinished(const std::string& state_dir, const std::string& session);

// Asks the destination, again and again with growing pauses, until it says RESUMED, NEVER or LOST; then ends or resumes
// the original and journals that. A session without GO is not asked about: its original runs on here. The journal is
// locked while the session is settled, and not while an answer is awaited, so that an operator can settle it meanwhile.
// Throws Error(refused) if the journal does not exist, is in use by another process, or is that of a destination, and
// if the original would have to be resumed without its file locks (it stays frozen); other errors if a step fails, and
// the call may be repeated then. Blocks; no thread.
Resolution resolve_session(const ResolveRequest& request);

}  // namespace crx
