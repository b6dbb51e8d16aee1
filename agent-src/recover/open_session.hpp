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
  // What became of the session if the last record is final: moved or stays.
  std::optional<Resolution> settled() const;
  bool is_of_earlier_boot() const { return last().boot_id != read_boot_id(); }
  bool has_original() const noexcept { return original_.has_value(); }

  // Lets the original run on here, if there is one, and journals ABORTED. Throws Error(refused) if its file locks were
  // released; the original stays frozen then.
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
