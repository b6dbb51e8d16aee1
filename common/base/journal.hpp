// The journal of a session: the record that decides, after any crash, on which host a process tree exists.
//
// One file per session, DIR/journal/SESSION.log, mode 0600. Text lines, each
//     CHECKSUM TIME_NS BOOT_ID STATE DETAIL\n
// CHECKSUM: 16 hex digits, XXH3-64 of the rest of the line (after the space, without the newline), seeded
// with the XXH3-64 of the session id. TIME_NS: CLOCK_REALTIME. DETAIL: free text, control characters and
// backslashes written as \xHH. The file is filled with zeros ahead, so that a record overwrites allocated
// blocks and needs no metadata on its way to the disk (80 instead of 125 us on ext4); the first zero byte
// where a line should start is the journal's end. A last line that is cut off or fails its checksum never
// happened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// open, then at the source go, done, aborted; at the destination prepared, resuming, resumed, never.
enum class JournalState : uint8_t { open, go, done, aborted, prepared, resuming, resumed, never };

// "OPEN", "GO", ...
std::string_view to_string(JournalState state);
std::optional<JournalState> parse_journal_state(std::string_view text);
// Whether `next` may be recorded after `last`: what was decided stays decided. The same state again is
// allowed (it adds a detail). After go only done or aborted; resuming only after prepared; after resuming
// only resumed; after done, aborted, resumed and never nothing else.
bool may_follow(JournalState last, JournalState next);

struct JournalRecord {
  JournalState state = JournalState::open;
  int64_t time_ns = 0;  // CLOCK_REALTIME
  std::string boot_id;  // of the host when it was written
  std::string detail;
};

// 32 lower-case hex digits from getrandom(2).
std::string make_session_id();
bool is_session_id(std::string_view text);
// /proc/sys/kernel/random/boot_id, validated. Throws Error.
std::string read_boot_id();

// One session's journal, open for writing and locked (flock) against other writers; move-only. Not
// thread-safe. The lock lives as long as any copy of the descriptor: a vessel must close what it inherited.
class Journal {
 public:
  // Opens DIR/journal/SESSION.log, creating it (and DIR, DIR/journal) as needed. The file and its directories
  // are on disk when this returns. Throws Error(refused) for a malformed id or when another process is
  // writing it, Error(corrupt_image) when it holds something else than a journal.
  static Journal open(const std::string& dir, std::string_view session);
  // The same for a session that must exist already: empty when it does not.
  static std::optional<Journal> open_existing(const std::string& dir, std::string_view session);

  Journal(Journal&&) noexcept = default;
  Journal& operator=(Journal&&) = delete;
  // Deletes the file where it has no record: a session that never began.
  ~Journal();

  // Records a state; on disk (pwritev2(2) with RWF_DSYNC, one system call) when this returns, but for PREPARED, which
  // goes there with the record behind it. Details are cut
  // at kMaxDetail bytes. Throws Error(bug) where may_follow() says no, Error(kernel) when it could not be
  // written: then whether the record exists is unknown until the file is read again, and last() stays at the
  // one before.
  void append(JournalState state, std::string_view detail = {});

  const std::vector<JournalRecord>& records() const noexcept { return records_; }
  const std::optional<JournalRecord>& last() const noexcept { return last_; }
  const std::string& session() const noexcept { return session_; }
  const std::string& path() const noexcept { return path_; }

  static constexpr std::size_t kMaxDetail = 1024;
  static constexpr std::size_t kMaxFile = 65536;  // a longer file is no journal of ours

 private:
  Journal(Fd fd, std::string path, std::string session);
  void load();

  Fd fd_;
  std::string path_, session_, boot_id_;
  std::vector<JournalRecord> records_;
  std::optional<JournalRecord> last_;
  std::size_t end_ = 0;  // offset of the next record
};

// A session's records without locking it, for queries while it runs; empty when there is no such journal.
// Throws Error(refused) for a malformed id, Error(corrupt_image) as Journal::open.
std::vector<JournalRecord> read_journal(const std::string& dir, std::string_view session);
// Ids of all sessions that have a journal below DIR, ascending. No directory: none.
std::vector<std::string> list_journals(const std::string& dir);
// Deletes a session's journal; for sessions whose outcome nobody can ask for any more.
void remove_journal(const std::string& dir, std::string_view session);
// How long the outcome of a session can be asked for after its end.
inline constexpr int64_t kJournalKeptNs = int64_t{30} * 24 * 3600 * 1'000'000'000;
// Deletes the journals whose last record is final (DONE, ABORTED, RESUMED, NEVER) and older than age_ns; how
// many. Those in use stay.
std::size_t prune_journals(const std::string& dir, int64_t age_ns);

}  // namespace crx
