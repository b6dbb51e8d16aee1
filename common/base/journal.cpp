#include "common/base/journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>

#include "common/base/clock.hpp"
#include "common/base/digest.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::size_t kPreallocate = 4096;
constexpr std::size_t kBlock = 4096;
constexpr char kDirectoryStep[] = "creating the journal's directory";
constexpr std::size_t kBootIdChars = 36;
constexpr std::array<std::string_view, 9> kStateNames = {"OPEN",     "GO",      "DONE",  "ABORTED", "PREPARED",
                                                         "RESUMING", "RESUMED", "NEVER", "LOST"};

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

constexpr std::size_t kSuffixChars = std::string_view("/journal/.log").size() + 32;

std::string checked_path(const std::string& dir, std::string_view session) {
  if (!is_session_id(session)) {
    throw Error(ErrorCode::refused, "opening a journal", "the session id is not 32 lower-case hex digits");
  }
  return dir + "/journal/" + std::string(session) + ".log";
}

std::string escape(std::string_view detail) {
  std::string out;
  for (const char c : detail.substr(0, Journal::kMaxDetail)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned byte = 0;
    if (text[at] == '\\' && at + 3 < text.size() && text[at + 1] == 'x' &&
        std::from_chars(&text[at + 2], &text[at + 4], byte, 16).ptr == &text[at + 4]) {
      out += static_cast<char>(byte);
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string compose(std::string_view session, const JournalRecord& record) {
  const std::string rest =
      fmt::format("{} {} {} {}", record.time_ns, record.boot_id, to_string(record.state), escape(record.detail));
  return fmt::format("{:016x} {}\n", digest64(rest, digest64(session)), rest);
}

// Takes one word up to the next space, and that space, off the line.
std::string_view take_word(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

// line: without its newline. Returns nullopt for an invalid record.
std::optional<JournalRecord> parse_record(std::string_view session, std::string_view line) {
  const std::string_view sum = take_word(line);
  uint64_t checksum = 0;
  if (sum.size() != 16 || !is_hex(sum)) return std::nullopt;
  std::from_chars(sum.data(), sum.data() + sum.size(), checksum, 16);
  if (checksum != digest64(line, digest64(session))) return std::nullopt;
  JournalRecord record;
  const std::string_view time = take_word(line);
  if (std::from_chars(time.data(), time.data() + time.size(), record.time_ns).ptr != time.data() + time.size()) {
    return std::nullopt;
  }
  record.boot_id = take_word(line);
  const std::optional<JournalState> state = parse_journal_state(take_word(line));
  if (record.boot_id.size() != kBootIdChars || !state) return std::nullopt;
  record.state = *state;
  record.detail = unescape(line);
  return record;
}

struct Parsed {
  std::vector<JournalRecord> records;
  std::size_t end = 0;
};

// A damaged line is ignored only when no valid line follows: that is the state a crash during a write leaves.
Parsed parse(std::string_view session, std::string_view text, const std::string& path) {
  Parsed parsed;
  std::size_t damaged_at = std::string_view::npos;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t newline = text.find('\n', at);
    if (newline == std::string_view::npos) break;
    std::optional<JournalRecord> record = parse_record(session, text.substr(at, newline - at));
    if (record && damaged_at != std::string_view::npos) {
      throw Error(ErrorCode::corrupt_image, "reading a journal",
                  fmt::format("{}: the record at byte {} is damaged, and records follow it", path, damaged_at))
          .with_hint("find out by hand on which host the process runs before removing this file");
    }
    if (record) {
      parsed.records.push_back(std::move(*record));
      parsed.end = newline + 1;
    } else if (damaged_at == std::string_view::npos) {
      damaged_at = at;
    }
    at = newline + 1;
  }
  return parsed;
}

void make_directories(const std::string& dir) {
  for (std::size_t slash = dir.find('/', 1); slash != std::string::npos; slash = dir.find('/', slash + 1)) {
    make_directory(dir.substr(0, slash), kDirectoryStep);
  }
  make_directory(dir, kDirectoryStep);
  make_directory(dir + "/journal", kDirectoryStep);
}

// Writes all of text at an offset. durable: the data is on disk when this returns. Some filesystems do not support
// RWF_DSYNC; pwrite(2) and fdatasync(2) are used there.
void write_record(int fd, std::string_view text, std::size_t offset, const std::string& path, bool durable) {
  const iovec part{const_cast<char*>(text.data()), text.size()};
  ssize_t n = ::pwritev2(fd, &part, 1, static_cast<off_t>(offset), durable ? RWF_DSYNC : 0);
  if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    n = ::pwrite(fd, text.data(), text.size(), static_cast<off_t>(offset));
    if (n >= 0 && ::fdatasync(fd) != 0) n = -1;
  }
  if (n < 0) throw_errno("writing the journal", path);
  if (static_cast<std::size_t>(n) != text.size()) throw_errno("writing the journal", path, ENOSPC);
}

}  // namespace

std::string_view to_string(JournalState state) {
  return kStateNames.at(static_cast<std::size_t>(state));
}

std::optional<JournalState> parse_journal_state(std::string_view text) {
  const auto* found = std::find(kStateNames.begin(), kStateNames.end(), text);
  if (found == kStateNames.end()) return std::nullopt;
  return static_cast<JournalState>(found - kStateNames.begin());
}

bool may_follow(JournalState last, JournalState next) {
  if (last == next) return true;
  switch (last) {
    case JournalState::open:
      return next == JournalState::go || next == JournalState::aborted || next == JournalState::prepared ||
             next == JournalState::never || next == JournalState::done;
    case JournalState::go:
      return next == JournalState::done || next == JournalState::aborted;
    case JournalState::prepared:
      return next == JournalState::resuming || next == JournalState::never;
    case JournalState::resuming:
      return next == JournalState::resumed || next == JournalState::lost;
    case JournalState::done:
    case JournalState::aborted:
    case JournalState::resumed:
    case JournalState::never:
    case JournalState::lost:
      return false;
  }
  return false;
}

bool needs_flush(JournalState state, std::size_t offset, std::size_t bytes) {
  const bool decides = state != JournalState::prepared && state != JournalState::go && state != JournalState::resuming;
  return decides || offset / kBlock != (offset + bytes) / kBlock;
}

bool is_final(JournalState state) {
  return state == JournalState::done || state == JournalState::aborted || state == JournalState::resumed ||
         state == JournalState::never || state == JournalState::lost;
}

std::string make_session_id() {
  std::array<uint8_t, 16> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    throw_errno("making a session id", "getrandom");
  }
  return Digest128{random}.hex();
}

bool is_session_id(std::string_view text) {
  return text.size() == 32 && is_hex(text);
}

std::string read_boot_id() {
  static constexpr char kPath[] = "/proc/sys/kernel/random/boot_id";
  std::string id = read_file(kPath, 4096);
  while (!id.empty() && id.back() == '\n') id.pop_back();
  if (id.size() != kBootIdChars || id.find_first_not_of("0123456789abcdef-") != std::string::npos) {
    throw Error(ErrorCode::kernel, "reading the boot id", std::string(kPath) + " is not a UUID");
  }
  return id;
}

Journal::Journal(Fd fd, std::string path, std::string session)
    : fd_(std::move(fd)), path_(std::move(path)), session_(std::move(session)), boot_id_(read_boot_id()) {
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("locking a journal", path_);
    throw Error(ErrorCode::refused, "opening a journal", "session " + session_ + " is in use by another process");
  }
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) throw_errno("opening a journal", path_);
  if (info.st_nlink == 0) {  // the last writer deleted the file between our open and our lock
    throw Error(ErrorCode::refused, "opening a journal", "session " + session_ + " has just been removed");
  }
  load();
}

Journal::~Journal() {
  if (fd_ && records_.empty()) ::unlink(path_.c_str());
}

void Journal::load() {
  const std::string text = read_fd(fd_.get(), path_, kMaxFile);
  Parsed parsed = parse(session_, text, path_);
  records_ = std::move(parsed.records);
  end_ = parsed.end;
  if (!records_.empty()) last_ = records_.back();
  const std::size_t size = std::max(kPreallocate, text.size());
  if (text.size() < kPreallocate || text.find_first_not_of('\0', end_) != std::string::npos) unfilled_ = size - end_;
}

// Fills the file with zeros from the last valid record on, also over anything that a crash has left there.
void Journal::fill() {
  if (unfilled_ == 0) return;
  write_record(fd_.get(), std::string(unfilled_, '\0'), end_, path_, true);
  unfilled_ = 0;
}

Journal Journal::open(const std::string& dir, std::string_view session) {
  const std::string path = checked_path(dir, session);
  make_directories(dir);
  Journal journal(open_checked(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600), path, std::string(session));
  journal.fill();
  if (::fsync(journal.fd_.get()) != 0) throw_errno("syncing the journal", path);
  sync_directory(dir + "/journal", kDirectoryStep);
  return journal;
}

std::optional<Journal> Journal::open_existing(const std::string& dir, std::string_view session) {
  const std::string path = checked_path(dir, session);
  Fd fd = try_open(path, O_RDWR | O_NOFOLLOW);
  if (!fd && errno == EROFS) fd = try_open(path, O_RDONLY | O_NOFOLLOW);
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) throw_errno("opening a journal", path);
  return Journal(std::move(fd), path, std::string(session));
}

bool Journal::is_in_use(const std::string& dir, std::string_view session) {
  const Fd fd = try_open(checked_path(dir, session), O_RDONLY | O_NOFOLLOW);
  return !fd || ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0;
}

void Journal::append(JournalState state, std::string_view detail) {
  if (last_ ? !may_follow(last_->state, state) : state != JournalState::open) {
    throw Error(ErrorCode::bug, "writing the journal",
                fmt::format("session {}: {} after {}", session_, to_string(state),
                            last_ ? to_string(last_->state) : "nothing"));
  }
  write(state, detail, state);
}

void Journal::add_detail(std::string_view detail) {
  if (!last_) throw Error(ErrorCode::bug, "writing the journal", "session " + session_ + " has no record yet");
  write(last_->state, detail, JournalState::prepared);
}

// flushed_as: the state by which needs_flush() judges.
void Journal::write(JournalState state, std::string_view detail, JournalState flushed_as) {
  JournalRecord record{state, clock_ns(CLOCK_REALTIME), boot_id_, std::string(detail.substr(0, kMaxDetail))};
  const std::string line = compose(session_, record);
  if (end_ + line.size() > kMaxFile) {
    throw Error(ErrorCode::bug, "writing the journal", "session " + session_ + " has too many records");
  }
  fill();
  write_record(fd_.get(), line, end_, path_, needs_flush(flushed_as, end_, line.size()));
  end_ += line.size();
  last_ = record;
  records_.push_back(std::move(record));
}

std::optional<JournalRecord> Journal::read_last() const {
  std::vector<JournalRecord> records = read_journal(path_.substr(0, path_.size() - kSuffixChars), session_);
  if (records.empty()) return std::nullopt;
  return std::move(records.back());
}

std::vector<JournalRecord> read_journal(const std::string& dir, std::string_view session) {
  const std::string path = checked_path(dir, session);
  const Fd fd = try_open(path, O_RDONLY | O_NOFOLLOW);
  if (!fd && errno == ENOENT) return {};
  if (!fd) throw_errno("opening a journal", path);
  return parse(session, read_fd(fd.get(), path, Journal::kMaxFile), path).records;
}

std::vector<std::string> list_journals(const std::string& dir) {
  std::vector<std::string> sessions;
  const std::string path = dir + "/journal";
  const std::optional<std::vector<std::string>> names = list_directory(path);
  if (!names && errno == ENOENT) return sessions;
  if (!names) throw_errno("listing journals", path);
  for (const std::string_view name : *names) {
    if (name.ends_with(".log") && is_session_id(name.substr(0, name.size() - 4))) {
      sessions.emplace_back(name.substr(0, name.size() - 4));
    }
  }
  std::sort(sessions.begin(), sessions.end());
  return sessions;
}

void remove_journal(const std::string& dir, std::string_view session) {
  const std::string path = checked_path(dir, session);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("removing a journal", path);
  sync_directory(dir + "/journal", kDirectoryStep);
}

std::size_t prune_journals(const std::string& dir, int64_t age_ns) {
  const int64_t now_ns = clock_ns(CLOCK_REALTIME);
  std::size_t removed = 0;
  for (const std::string& session : list_journals(dir)) {
    try {
      const std::optional<Journal> journal = Journal::open_existing(dir, session);
      if (!journal || !journal->last()) continue;
      const JournalState state = journal->last()->state;
      if (!is_final(state) || now_ns - journal->last()->time_ns < age_ns) continue;
      remove_journal(dir, session);
      ++removed;
    } catch (const Error& error) {  // the journal is in use or damaged; an operator has to look at a damaged one
      log::debug("keeping the journal of session {}: {}", session, error.what());
    }
  }
  return removed;
}

}  // namespace crx
