// A session of which this host is the source, with its journal locked, to be settled.
#pragma once

#include <optional>
#include <string>

#include "agent-src/recover/kept_original.hpp"
#include "agent-src/recover/resolve_session.hpp"
#include "common/base/journal.hpp"
#include "common/session/source_session.hpp"

namespace crx {

// Leaves everything as it is unless stay() or leave() is called. Single-threaded.
class OpenSession {
 public:
  // Throws Error(refused) if the journal does not exist, is that of a destination, or is locked: the message names the
  // process that works on the session. Other errors if it cannot be read.
  static OpenSession open(const std::string& state_dir, const std::string& session);

  const JournalRecord& last() const { return *journal_.last(); }
  const SourceSession& description() const noexcept { return description_; }
  // The outcome of the session if its last record is final: moved or stays.
  std::optional<Resolution> settled() const;
  // Whether Go may have been sent: GO is in the journal, or it may have been lost with the host (needs_flush() of the
  // journal). Only the destination knows then what becomes of the session.
  bool may_have_sent_go() const {
    return last().state == JournalState::go || (last().state == JournalState::open && is_of_earlier_boot());
  }
  bool is_of_earlier_boot() const { return last().boot_id != read_boot_id(); }
  bool has_original() const noexcept { return original_.has_value(); }

  // Lets the original run on here, if there is one, and journals ABORTED. Throws Error(refused) if a file lock that was
  // released cannot be taken back; the original stays frozen then.
  void stay(const std::string& why) &&;
  // Ends the original, if there is one, and journals DONE. Throws Error.
  void leave(const std::string& why) &&;

 private:
  OpenSession(Journal journal, SourceSession description);

  Journal journal_;
  SourceSession description_;
  std::optional<KeptOriginal> original_;
};

}  // namespace crx
