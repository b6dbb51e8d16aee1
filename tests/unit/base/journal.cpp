#include "common/base/journal.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/base/error.hpp"
#include "tests/unit/temp_dir.hpp"

namespace crx {
namespace {

using test::TempDir;

void overwrite(const std::string& path, std::string_view bytes, off_t at) {
  const Fd fd = open_checked(path, O_WRONLY);
  REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()));
}

std::string text_of(const std::string& path) {
  std::string text = read_file(path);
  const std::size_t end = text.find('\0');
  return end == std::string::npos ? text : text.substr(0, end);
}

TEST_CASE("journal: records survive reopening, in order, with their details") {
  const TempDir dir;
  const std::string store = dir.path() + "/a/b";  // both directories are created
  const std::string id = make_session_id();
  {
    Journal journal = Journal::open(store, id);
    CHECK_FALSE(journal.last());
    journal.append(JournalState::open, "peer=[::1]:7077");
    journal.append(JournalState::prepared);
    journal.append(JournalState::resuming, "line\nbreak \\ and \x01 and \xc3\xa9");
    CHECK(journal.last()->state == JournalState::resuming);
  }
  const std::optional<Journal> again = Journal::open_existing(store, id);
  REQUIRE(again);
  REQUIRE(again->records().size() == 3);
  CHECK(again->records()[0].detail == "peer=[::1]:7077");
  CHECK(again->records()[1].detail.empty());
  CHECK(again->last()->detail == "line\nbreak \\ and \x01 and \xc3\xa9");
  CHECK(again->last()->boot_id == read_boot_id());
  CHECK(again->last()->time_ns > 1'600'000'000'000'000'000);
  struct stat info {};
  REQUIRE(::stat(again->path().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("journal: a last record that was cut off never happened, and the next one replaces it") {
  const TempDir dir;
  const std::string id = make_session_id();
  std::string path;
  std::size_t before = 0;
  std::size_t after = 0;
  {
    Journal journal = Journal::open(dir.path(), id);
    path = journal.path();
    journal.append(JournalState::open, "first");
    before = text_of(path).size();
    journal.append(JournalState::go, "a detail that makes the record long");
    after = text_of(path).size();
  }
  const std::string whole = text_of(path);
  // Try every possible cut, with the end of the file there or with zeros behind it.
  for (std::size_t cut = before; cut < after; ++cut) {
    for (const bool truncate : {false, true}) {
      overwrite(path, whole, 0);
      if (truncate) REQUIRE(::truncate(path.c_str(), static_cast<off_t>(cut)) == 0);
      if (!truncate) overwrite(path, std::string(after - cut, '\0'), static_cast<off_t>(cut));
      const std::vector<JournalRecord> records = read_journal(dir.path(), id);
      REQUIRE(records.size() == 1);
      REQUIRE(records[0].state == JournalState::open);
    }
  }
  Journal::open(dir.path(), id).append(JournalState::aborted, "x");
  const std::vector<JournalRecord> records = read_journal(dir.path(), id);
  REQUIRE(records.size() == 2);
  CHECK(records[1].state == JournalState::aborted);
}

TEST_CASE("journal: damage before a valid record is an error, not a shorter history") {
  const TempDir dir;
  const std::string id = make_session_id();
  {
    Journal journal = Journal::open(dir.path(), id);
    journal.append(JournalState::open, "one");
    journal.append(JournalState::prepared, "two");
    overwrite(journal.path(), text_of(journal.path())[3] == '0' ? "1" : "0", 3);
  }
  CHECK_THROWS_AS(read_journal(dir.path(), id), Error);
  CHECK_THROWS_AS(Journal::open(dir.path(), id), Error);
}

TEST_CASE("journal: a record of another session does not count") {
  const TempDir dir;
  const std::string a = make_session_id();
  const std::string b = make_session_id();
  Journal first = Journal::open(dir.path(), a);
  first.append(JournalState::open);
  std::filesystem::copy(first.path(), dir.path() + "/journal/" + b + ".log");
  CHECK(read_journal(dir.path(), b).empty());
}

TEST_CASE("journal: one writer at a time; readers need no lock") {
  const TempDir dir;
  const std::string id = make_session_id();
  Journal journal = Journal::open(dir.path(), id);
  journal.append(JournalState::open);
  CHECK_THROWS_WITH_AS(Journal::open(dir.path(), id), doctest::Contains("in use by another process"), Error);
  CHECK(read_journal(dir.path(), id).size() == 1);
}

TEST_CASE("journal: a final decision stays final") {
  using S = JournalState;
  CHECK(may_follow(S::open, S::go));
  CHECK(may_follow(S::go, S::done));
  CHECK(may_follow(S::open, S::done));   // GO was lost with the host
  CHECK(may_follow(S::go, S::aborted));  // after the destination's NEVER
  CHECK(may_follow(S::open, S::never));
  CHECK(may_follow(S::prepared, S::never));
  CHECK(may_follow(S::prepared, S::resuming));
  CHECK_FALSE(may_follow(S::open, S::resuming));
  CHECK_FALSE(may_follow(S::resuming, S::never));
  CHECK_FALSE(may_follow(S::never, S::resuming));
  CHECK_FALSE(may_follow(S::never, S::prepared));
  CHECK_FALSE(may_follow(S::aborted, S::go));
  CHECK_FALSE(may_follow(S::done, S::aborted));

  const TempDir dir;
  Journal journal = Journal::open(dir.path(), make_session_id());
  CHECK_THROWS_AS(journal.append(S::go), Error);  // nothing is opened yet
  journal.append(S::open);
  journal.append(S::never, "time-out");
  CHECK_THROWS_AS(journal.append(S::prepared), Error);
  CHECK(journal.last()->state == S::never);
}

TEST_CASE("journal: only PREPARED may wait for the flush of the next record, and only in the same block") {
  CHECK_FALSE(needs_flush(JournalState::prepared, 0, 100));
  CHECK_FALSE(needs_flush(JournalState::prepared, 3'000, 1'095));
  CHECK(needs_flush(JournalState::prepared, 3'000, 1'096));  // the next record begins a block
  CHECK(needs_flush(JournalState::prepared, 4'000, 200));    // it lies in two blocks
  CHECK_FALSE(needs_flush(JournalState::prepared, 4'096, 200));
  for (const JournalState state : {JournalState::go, JournalState::resuming}) CHECK_FALSE(needs_flush(state, 0, 100));
  for (const JournalState state : {JournalState::open, JournalState::resumed, JournalState::never, JournalState::lost,
                                   JournalState::done, JournalState::aborted})
    CHECK(needs_flush(state, 0, 100));
}

TEST_CASE("journal: a detail is added to the last state, across blocks, too") {
  const TempDir dir;
  const std::string id = make_session_id();
  {
    Journal journal = Journal::open(dir.path(), id);
    CHECK_THROWS_AS(journal.add_detail("too early"), Error);
    journal.append(JournalState::open, "first");
    for (int i = 0; i < 20; ++i) journal.add_detail(std::string(900, 'x'));
    journal.append(JournalState::go);
  }
  const std::vector<JournalRecord> records = read_journal(dir.path(), id);
  REQUIRE(records.size() == 22);
  CHECK(records[1].state == JournalState::open);
  CHECK(records[20].detail == std::string(900, 'x'));
  CHECK(records[21].state == JournalState::go);
}

TEST_CASE("journal: read_last shows what the file has") {
  const TempDir dir;
  Journal journal = Journal::open(dir.path(), make_session_id());
  CHECK_FALSE(journal.read_last());
  journal.append(JournalState::open, "a");
  REQUIRE(journal.read_last());
  CHECK(journal.read_last()->detail == "a");
}

TEST_CASE("journal: session ids cannot leave the directory") {
  CHECK(is_session_id(make_session_id()));
  CHECK(make_session_id() != make_session_id());
  const TempDir dir;
  for (const std::string_view id :
       {"", "../../../../etc/passwd", "0123456789abcdef0123456789ABCDEF", "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0", "0123456789abcdef/../456789abcdef"}) {
    CHECK_FALSE(is_session_id(id));
    CHECK_THROWS_AS(Journal::open(dir.path(), id), Error);
    CHECK_THROWS_AS(read_journal(dir.path(), id), Error);
    CHECK_THROWS_AS(remove_journal(dir.path(), id), Error);
  }
}

TEST_CASE("journal: a session that never began leaves no file; old final ones can be pruned") {
  const TempDir dir;
  const std::string empty = make_session_id();
  {
    Journal journal = Journal::open(dir.path(), empty);
    Journal moved = std::move(journal);
  }
  CHECK(list_journals(dir.path()).empty());

  const auto make = [&](std::initializer_list<JournalState> states) {
    const std::string id = make_session_id();
    Journal journal = Journal::open(dir.path(), id);
    for (const JournalState state : states) journal.append(state);
    return id;
  };
  using S = JournalState;
  make({S::open, S::aborted});
  make({S::open, S::prepared, S::resuming, S::resumed});
  const std::string doubt = make({S::open, S::go});
  const Journal busy = *Journal::open_existing(dir.path(), make({S::open, S::never}));
  CHECK(prune_journals(dir.path(), 3'600'000'000'000) == 0);
  CHECK(prune_journals(dir.path(), 0) == 2);
  std::vector<std::string> left = {doubt, busy.session()};
  std::sort(left.begin(), left.end());
  CHECK(list_journals(dir.path()) == left);
}

TEST_CASE("journal: list, absent sessions, removal, limits") {
  const TempDir dir;
  CHECK(list_journals(dir.path() + "/absent").empty());
  CHECK_FALSE(Journal::open_existing(dir.path(), make_session_id()));
  CHECK(read_journal(dir.path(), make_session_id()).empty());
  std::vector<std::string> ids = {make_session_id(), make_session_id(), make_session_id()};
  for (const std::string& id : ids) Journal::open(dir.path(), id).append(JournalState::open);
  open_checked(dir.path() + "/journal/notes.log", O_CREAT | O_WRONLY, 0600);
  std::sort(ids.begin(), ids.end());
  CHECK(list_journals(dir.path()) == ids);
  remove_journal(dir.path(), ids[0]);
  CHECK(list_journals(dir.path()).size() == 2);

  Journal journal = *Journal::open_existing(dir.path(), ids[1]);
  journal.append(JournalState::open, std::string(5000, 'd'));
  CHECK(journal.last()->detail.size() == Journal::kMaxDetail);
  CHECK_THROWS_AS(
      [&] {
        for (int i = 0; i < 1000; ++i) journal.append(JournalState::open, std::string(1000, 'd'));
      }(),
      Error);
  REQUIRE(::truncate(journal.path().c_str(), 1 << 20) == 0);
  CHECK_THROWS_AS(read_journal(dir.path(), ids[1]), Error);
}

}  // namespace
}  // namespace crx
