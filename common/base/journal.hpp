// The journal of a session. After a crash its last record decides on which host the process tree exists.
//
// There is one file per session, DIR/journal/SESSION.log, mode 0600. It holds lines of text:
//     CHECKSUM TIME_NS BOOT_ID STATE DETAIL\n
// CHECKSUM: 16 hex digits, the XXH3-64 of the rest of the line (after the space, without the newline), seeded with the
// XXH3-64 of the session id. TIME_NS: CLOCK_REALTIME in nanoseconds. DETAIL: free text in which control characters and
// backslashes are written as \xHH. The file is filled with zeros in advance, so that a record overwrites allocated
// blocks and needs no metadata update on its way to the disk (80 instead of 125 us on ext4). The first zero byte where
// a line should start is the end of the journal. A last line that is cut off or fails its checksum is ignored, as if it
// had never been written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// Both journals begin with open. The source continues with go, then done or aborted; the destination with prepared,
// then resuming, and resumed or lost, or with never.
enum class JournalState : uint8_t { open, go, done, aborted, prepared, resuming, resumed, never, lost };

// "OPEN", "GO", ...
std::string_view to_string(JournalState state);
std::optional<JournalState> parse_journal_state(std::string_view text);
// Whether `next` may be recorded after `last`: a decision is never reversed. The same state may be recorded again (this
// adds a detail). Only done or aborted may follow go; resuming may follow only prepared; only resumed or lost may
// follow resuming; nothing may follow done, aborted, resumed, never and lost.
bool may_follow(JournalState last, JournalState next);

struct JournalRecord {
  JournalState state = JournalState::open;
  int64_t time_ns = 0;  // CLOCK_REALTIME
  std::string boot_id;  // the boot id of the host at the time of writing
  std::string detail;
};

// Whether a record of `bytes` bytes at this offset of the file must be flushed by itself. A flush takes a large part of
// the stop of a small process, and PREPARED, GO and RESUMING need none: every process that asks for them before the
// host goes down sees them, and after that neither the original nor the vessel exists. A destination that has lost
// RESUMING answers NEVER, which is true, since RESUMED is on disk before the tree runs. A source that has lost GO asks
// all the same (resolve_session()). tests/model proves both. The flush of the next record takes them along; but only if
// both share a block of 4 KiB: a crash could otherwise leave the first one damaged before a record that is whole, and
// such a journal is refused.
bool needs_flush(JournalState state, std::size_t offset, std::size_t bytes);

// 32 lower-case hex digits from getrandom(2).
std::string make_session_id();
bool is_session_id(std::string_view text);
// Reads /proc/sys/kernel/random/boot_id and validates it. Throws Error.
std::string read_boot_id();

// Whether no record of another state may follow.
bool is_final(JournalState state);

// The journal of one session, open for writing and locked (flock(2)) against other writers; move-only. Not thread-safe.
// The lock lives as long as any copy of the descriptor, so a vessel must close the copy that it inherited.
class Journal {
 public:
  // Opens DIR/journal/SESSION.log and creates it (and DIR, DIR/journal) as needed. The file and its directories are on
  // disk when this returns. Throws Error(refused) for a malformed id or when another process is writing this journal,
  // Error(corrupt_image) when the file is not a journal.
  static Journal open(const std::string& dir, std::string_view session);
  // The same for a session that must exist already; nullopt when it does not. On a file system that is read-only by now
  // it can be opened, too: append() fails then.
  static std::optional<Journal> open_existing(const std::string& dir, std::string_view session);

  // Whether a process has the journal open, or it does not exist.
  static bool is_in_use(const std::string& dir, std::string_view session);

  Journal(Journal&&) noexcept = default;
  Journal& operator=(Journal&&) = delete;
  // Deletes the file if it has no record, since the session never began.
  ~Journal();

  // Records a state. The record is on disk when this returns (one pwritev2(2) with RWF_DSYNC), unless needs_flush()
  // says that it reaches the disk with the next record. A detail is cut at kMaxDetail bytes. Throws Error(bug) where
  // may_follow() forbids the state, Error(kernel) when the write failed: whether the record exists is then unknown
  // until the file is read again, and last() remains the previous record.
  void append(JournalState state, std::string_view detail = {});

  // The same for a detail that means nothing after a crash of the host, and so need not be on disk: the state stays the
  // last one. The next record's flush takes it along.
  void add_detail(std::string_view detail);
  // The last record as the file has it now; after a write that failed, this says whether the record exists.
  std::optional<JournalRecord> read_last() const;

  const std::vector<JournalRecord>& records() const noexcept { return records_; }
  const std::optional<JournalRecord>& last() const noexcept { return last_; }
  const std::string& session() const noexcept { return session_; }
  const std::string& path() const noexcept { return path_; }

  static constexpr std::size_t kMaxDetail = 1024;
  static constexpr std::size_t kMaxFile = 65536;  // a longer file is not a crx journal

 private:
  Journal(Fd fd, std::string path, std::string session);
  void load();
  void write(JournalState state, std::string_view detail, JournalState flushed_as);
  void fill();

  Fd fd_;
  std::string path_, session_, boot_id_;
  std::vector<JournalRecord> records_;
  std::optional<JournalRecord> last_;
  std::size_t end_ = 0;       // offset of the next record
  std::size_t unfilled_ = 0;  // bytes from there on that are to be zeros, before a record is written
};

// Reads the records of a session without locking the journal, for queries while the session runs; empty when there is
// no such journal. Throws Error(refused) for a malformed id, Error(corrupt_image) as Journal::open does.
std::vector<JournalRecord> read_journal(const std::string& dir, std::string_view session);
// The ids of all sessions that have a journal below DIR, in ascending order; empty when there is no such directory.
std::vector<std::string> list_journals(const std::string& dir);
// Deletes the journal of a session whose outcome nobody can ask for any more.
void remove_journal(const std::string& dir, std::string_view session);
// How long the outcome of a session stays available after the session ended, in nanoseconds.
inline constexpr int64_t kJournalKeptNs = int64_t{30} * 24 * 3600 * 1'000'000'000;
// Deletes the journals whose last record is final (DONE, ABORTED, RESUMED, NEVER, LOST) and older than age_ns
// nanoseconds, and returns their number. Journals that are locked by a writer stay.
std::size_t prune_journals(const std::string& dir, int64_t age_ns);

}  // namespace crx
