// Files that are there already: found once, as the task, without links; compared and opened by what was found.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/files/proc_of_ended.hpp"
#include "agent-dst/files/task_files.hpp"
#include "agent-dst/preflight/file_comparison.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

namespace fs = std::filesystem;
constexpr pid_t kTask = 5;
constexpr uint64_t kReadsAll = uint64_t{1} << CAP_DAC_OVERRIDE;

// A directory that everybody may search, with a file of root and one of uid 1000, both of mode 0600.
struct Files {
  Files() {
    std::string name = fs::temp_directory_path() / "crx-task-files-XXXXXX";
    top = ::mkdtemp(name.data());
    fs::permissions(top, fs::perms::all);
    root = make("root", "the secret of root", 0);
    own = make("own", "something of mine.", 1000);
  }
  ~Files() { fs::remove_all(top); }

  std::string make(const std::string& name, const std::string& content, uid_t owner) const {
    std::string path = top + "/" + name;
    std::ofstream(path) << content;
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    REQUIRE(::chown(path.c_str(), owner, owner) == 0);
    return path;
  }
  std::string top, root, own;
};

TaskFiles files_of(TaskFiles::Agent agent, FsIds ids = {1000, 1000}) {
  TaskFiles files(agent);
  files.set(kTask, std::move(ids));
  return files;
}

// Returns the content, or the errno with which it failed.
std::string read_as(const TaskFiles& files, const std::string& path) {
  const Fd found = files.find(kTask, path);
  if (!found) return "find: " + std::to_string(errno);
  const Fd file = files.open(kTask, found.get(), path, O_RDONLY);
  return file ? read_fd(file.get(), path) : "open: " + std::to_string(errno);
}

const std::string kFindEloop = "find: " + std::to_string(ELOOP);
const std::string kOpenEacces = "open: " + std::to_string(EACCES);

FileIdentity identity_of(const std::string& path, ContentCheck check = ContentCheck::full) {
  FileIdentity wanted = identify_file(path, path, check);
  wanted.ino = 0;
  return wanted;
}

std::string difference(TaskFiles& files, const FileIdentity& wanted, ReadLimit limit = {}) {
  return FileComparison(files, false, std::move(limit)).difference(kTask, wanted).value_or("none");
}

img::file_entry entry_of(const std::string& path, uint32_t flags = O_RDONLY) {
  img::file_entry entry;
  entry.set_id(1);
  entry.set_type(img::REG);
  img::reg_file_entry& reg = *entry.mutable_reg();
  reg.set_id(1);
  reg.set_flags(flags);
  reg.set_pos(0);
  reg.set_name(path);
  reg.set_mode(S_IFREG | 0600);
  return entry;
}

std::string opened(const TaskFiles& files, const std::string& path, uint32_t flags = O_RDONLY) {
  FileRules rules;
  rules.tasks = files;
  const auto opener = make_file_opener(std::move(rules));
  opener->add(entry_of(path, flags));
  try {
    return read_fd(opener->open_description(1, kTask).get(), path);
  } catch (const Error& error) {
    return error.reason().substr(error.reason().rfind('/') + 1);
  }
}

}  // namespace

TEST_CASE("task files: a file is opened as the task can open it") {
  const Files made;
  const TaskFiles strict = files_of(TaskFiles::Agent::nothing);
  CHECK(read_as(strict, made.own) == "something of mine.");
  CHECK(read_as(strict, made.root) == kOpenEacces);
  CHECK(read_as(files_of(TaskFiles::Agent::anything), made.root) == "the secret of root");
  CHECK(read_as(files_of(TaskFiles::Agent::compared_files), made.root) == kOpenEacces);
  CHECK(read_as(files_of(TaskFiles::Agent::nothing, {1000, 1000, {}, kReadsAll}), made.root) == "the secret of root");
  // root without capabilities is no more than the owner of its files
  const TaskFiles bare = files_of(TaskFiles::Agent::nothing, {0, 0});
  CHECK(read_as(bare, made.root) == "the secret of root");
  CHECK(read_as(bare, made.own) == kOpenEacces);
  CHECK(opened(strict, made.root) == "root cannot be opened here as uid 1000");
  CHECK(opened(strict, made.own, O_RDONLY | O_NOFOLLOW) == "something of mine.");
}

TEST_CASE("task files: the agent has its own rights again afterwards") {
  const Files made;
  REQUIRE(::prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
  const OwnFsIds before = own_fs_ids();
  static_cast<void>(read_as(files_of(TaskFiles::Agent::nothing, {1000, 1000, {1001}, 0}), made.root));
  const OwnFsIds after = own_fs_ids();
  REQUIRE(::prctl(PR_SET_PDEATHSIG, 0) == 0);
  CHECK(after.ids == before.ids);
  CHECK(after.dumpable == before.dumpable);
  CHECK(after.death_signal == SIGUSR1);
}

TEST_CASE("task files: no task, no file") {
  const Files made;
  CHECK_THROWS_AS(static_cast<void>(TaskFiles(TaskFiles::Agent::nothing).find(kTask, made.own)), Error);
  CHECK_THROWS_AS(static_cast<void>(TaskFiles(TaskFiles::Agent::compared_files).find(kTask, made.own)), Error);
}

TEST_CASE("task files: no link is followed, at the end or on the way") {
  const Files made;
  const TaskFiles files = files_of(TaskFiles::Agent::anything);
  fs::create_symlink(made.root, made.top + "/link");
  fs::create_directory_symlink(made.top, made.top + "/way");
  CHECK(read_as(files, made.top + "/link") == kFindEloop);
  CHECK(read_as(files, made.top + "/way/own") == kFindEloop);
  CHECK(read_as(files, "/proc/self/root" + made.root) == kFindEloop);
  CHECK(opened(files, made.top + "/link") == "link is reached by a symbolic link here");
  CHECK(files.find(kTask, made.top + "/link", O_NOFOLLOW).get() >= 0);
}

TEST_CASE("task files: the namespaces of a task of the tree are found") {
  TaskFiles files = files_of(TaskFiles::Agent::nothing);
  const std::string path = "/proc/" + std::to_string(::getpid()) + "/ns/net";
  CHECK_FALSE(files.find(kTask, path));
  CHECK(errno == ELOOP);
  files.set_made(::getpid());
  const Fd found = files.find(kTask, path);
  REQUIRE(found);
  const Fd file = files.open(kTask, found.get(), path, O_RDONLY);
  REQUIRE(file);
  CHECK(fs::read_symlink("/proc/self/fd/" + std::to_string(file.get())) == fs::read_symlink(path));
  CHECK_FALSE(files.find(kTask, "/proc/" + std::to_string(::getpid()) + "/cwd"));
}

TEST_CASE("task files: a file that is replaced after it was found is opened as it was found") {
  const Files made;
  const TaskFiles files = files_of(TaskFiles::Agent::anything);
  const Fd found = files.find(kTask, made.own);
  REQUIRE(found.get() >= 0);
  fs::remove(made.own);
  fs::create_symlink(made.root, made.own);
  const Fd file = files.open(kTask, found.get(), made.own, O_RDONLY);
  REQUIRE(file.get() >= 0);
  CHECK(read_fd(file.get(), made.own) == "something of mine.");
  // With O_NOFOLLOW the name is used a second time.
  CHECK(files.open(kTask, found.get(), made.own, O_RDONLY | O_NOFOLLOW).get() < 0);
  fs::remove(made.own);
  fs::create_hard_link(made.root, made.own);
  CHECK(files.open(kTask, found.get(), made.own, O_RDONLY | O_NOFOLLOW).get() < 0);
  CHECK(errno == ESTALE);
}

TEST_CASE("task files: the agent helps with files that were compared, and with no others") {
  const Files made;
  TaskFiles files = files_of(TaskFiles::Agent::compared_files);
  CHECK(difference(files, identity_of(made.root)) == "none");
  CHECK(read_as(files, made.root) == "the secret of root");
  CHECK(difference(files, identity_of(made.own)) == "none");
  // The owner of the name puts another file of root there, by a hard link.
  const std::string other = made.make("other", "another secret ...", 0);
  fs::remove(made.own);
  fs::create_hard_link(other, made.own);
  CHECK(read_as(files, made.own) == kOpenEacces);
}

TEST_CASE("task files: content is compared again if the file is not the one that was compared") {
  const Files made;
  TaskFiles files = files_of(TaskFiles::Agent::nothing);
  CHECK(difference(files, identity_of(made.own)) == "none");
  CHECK(opened(files, made.own) == "something of mine.");
  const std::string aside = made.make("aside", "something of mine.", 1000);
  fs::rename(aside, made.own);
  CHECK(opened(files, made.own) == "something of mine.");
  made.make("aside", "something of more.", 1000);
  fs::rename(aside, made.own);
  CHECK(opened(files, made.own) == "own was replaced here after it had been compared: it has other content");
  std::ofstream(made.own) << "something of mind.";
  CHECK(opened(files, made.own).ends_with("it has other content"));
}

TEST_CASE("task files: what a task may not read is not compared for its source") {
  const Files made;
  TaskFiles files = files_of(TaskFiles::Agent::nothing);
  const FileIdentity same = identity_of(made.root);
  FileIdentity other = same;
  other.digest[0] = static_cast<char>(other.digest[0] + 1);
  CHECK(difference(files, same) == "cannot be read here: Permission denied");
  CHECK(difference(files, other) == "cannot be read here: Permission denied");
  fs::permissions(made.top, fs::perms::owner_all);
  CHECK(difference(files, same) == "cannot be accessed here: Permission denied");
  FileIdentity none = same;
  none.path = made.top + "/none";
  CHECK(difference(files, none) == "cannot be accessed here: Permission denied");
}

TEST_CASE("task files: comparing is bounded, and ends with the session") {
  const Files made;
  constexpr uint64_t kHuge = uint64_t{200} << 30;
  const std::string sparse = made.make("sparse", "", 1000);
  REQUIRE(::truncate(sparse.c_str(), static_cast<off_t>(kHuge)) == 0);
  FileIdentity wanted = identity_of(sparse, ContentCheck::metadata);
  wanted.digest.assign(16, 'x');
  TaskFiles files = files_of(TaskFiles::Agent::nothing);
  ReadLimit few;
  few.bytes = 10 << 20;
  CHECK(difference(files, wanted, few) == "cannot be compared here: the files of this tree take too long to read");
  ReadLimit late;
  late.ms = 20;
  CHECK(difference(files, wanted, late) == "cannot be compared here: the files of this tree take too long to read");
  int looks = 0;
  ReadLimit gone;
  gone.session_has_ended = [&] { return ++looks == 3; };
  CHECK_THROWS_WITH_AS(static_cast<void>(difference(files, wanted, gone)), doctest::Contains("the source has gone"),
                       Error);
  CHECK(looks == 3);
  // Another size says enough.
  wanted.size = kHuge - 1;
  looks = 0;
  CHECK(difference(files, wanted, gone).starts_with("has 214748364800 bytes here"));
  CHECK(looks == 0);
}

TEST_CASE("task files: files about ended processes lead nowhere else") {
  const Files made;
  const std::string proc = "/proc/999999";
  CHECK(open_proc_of_ended(proc + "/stat", O_RDONLY, 0, 999999).get() >= 0);
  for (const std::string& way :
       std::vector<std::string>{"/root" + made.root, "/cwd/own", "/exe", "/../.." + made.root, "/fd/0"}) {
    CAPTURE(way);
    CHECK_THROWS_AS(static_cast<void>(open_proc_of_ended(proc + way, O_RDONLY, 0, 999999)), Error);
  }
}

}  // namespace crx
