// Journals after a crash, or of another author. The first byte says whether the lines of the input get the right
// checksums, so that the rest of a record is read, too. What was read must be the same after more was written.
#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/journal.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/sandbox.hpp"

namespace {

using namespace crx;

constexpr char kSession[] = "0123456789abcdef0123456789abcdef";

std::string with_checksums(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    char sum[20];
    std::snprintf(sum, sizeof sum, "%016llx ",
                  static_cast<unsigned long long>(digest64(line, digest64(std::string_view(kSession)))));
    lines.append(sum).append(line).append("\n");
  }
  return lines;
}

bool same(const std::vector<JournalRecord>& a, const std::vector<JournalRecord>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (i >= b.size() || a[i].state != b[i].state || a[i].detail != b[i].detail || a[i].time_ns != b[i].time_ns)
      return false;
  }
  return true;
}

void read_and_append(const std::string& dir) {
  const std::vector<JournalRecord> before = read_journal(dir, kSession);
  std::vector<JournalRecord> after;
  {
    Journal journal = Journal::open(dir, kSession);
    if (!same(before, journal.records())) std::abort();
    const JournalState last = journal.last() ? journal.last()->state : JournalState::open;
    journal.append(last, "a detail\n\\x");
    after = read_journal(dir, kSession);
    if (after.size() != before.size() + 1 || !same(before, after)) std::abort();
    if (after.back().detail != "a detail\n\\x") std::abort();
  }
  if (!same(after, read_journal(dir, kSession))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fuzz::enter_sandbox();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const bool right = input.byte() == 's';
  const std::string text = right ? with_checksums(input.rest()) : std::string(input.rest());
  const std::string dir = fuzz::enter_sandbox();
  try {
    std::filesystem::create_directory(dir + "/journal");
    const Fd file = open_checked(dir + "/journal/" + kSession + ".log", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    read_and_append(dir);
  } catch (const Error&) {
  }
  return 0;
}
