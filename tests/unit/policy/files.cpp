// Files that are made for a tree: only those that this host asked for, below the directories that it allows, as the
// task that has them, and without links.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent-dst/files/carried_file.hpp"
#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/preflight/preflight.hpp"
#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string name = fs::temp_directory_path() / "crx-files-XXXXXX";
    path = ::mkdtemp(name.data());
    fs::permissions(path, fs::perms::all);
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(path)) names.push_back(entry.path().string());
  return names;
}

constexpr uint32_t kFile = 1, kGhost = 7;

// A regular file, deleted or carried (with crx_path), as a source sends it.
ImageStore ghost_images(uint32_t mode, const std::string& carried_to = {}, uint32_t owner = 0) {
  ImageStore images;
  img::remap_file_path_entry remap;
  remap.set_orig_id(kFile);
  remap.set_remap_id(kGhost);
  if (!carried_to.empty()) remap.set_crx_path(carried_to);
  images.append(image_file::kRemapFpath, remap);
  img::ghost_file_entry ghost;
  ghost.set_uid(owner);
  ghost.set_gid(owner);
  ghost.set_mode(mode);
  ghost.set_size(4);
  images.append(image_file::ghost_file(kGhost), ghost);
  if (S_ISREG(mode)) images.append_raw(image_file::ghost_file(kGhost), std::as_bytes(std::span("text", 4)));
  return images;
}

std::string failure(const std::function<void()>& act) {
  try {
    act();
    return {};
  } catch (const Error& error) {
    return std::string(error.code() == ErrorCode::peer ? "peer: " : "") + error.reason();
  }
}

FileRules rules_for(const Folder& top, const std::string& path, uint32_t uid = 1000) {
  FileRules rules;
  rules.ghosts = top.path + "/.ghosts";
  rules.carried[path] = {top.path, {uid, uid, {}}};
  return rules;
}

}  // namespace

TEST_CASE("files: a file that this host has not asked for is not made") {
  const Folder top;
  const std::string path = top.path + "/made/file";
  const auto send = [&](FileRules rules) {
    return failure([&] { make_file_opener(std::move(rules))->add_ghosts(ghost_images(S_IFREG | 0644, path)); });
  };
  CHECK(send({}) == "peer: the source sends the file " + path + ", which this host has not asked for");
  CHECK(send(rules_for(top, path + "2")).starts_with("peer: the source sends the file"));
  CHECK(names_in(top.path).empty());
}

TEST_CASE("files: a carried file is the task's, and everything is removed on rollback") {
  const Folder top;
  const std::string path = top.path + "/a/b/file";
  const ImageStore images = ghost_images(S_IFREG | 0640, path, 0);
  {
    const auto opener = make_file_opener(rules_for(top, path));
    opener->add_ghosts(images);
    CHECK_FALSE(fs::exists(path));
    opener->commit();
    CHECK(text_of(path) == "text");
  }
  CHECK(names_in(top.path) == std::vector{top.path + "/.ghosts"});
  const auto opener = make_file_opener(rules_for(top, path));
  opener->add_ghosts(images);
  opener->commit();
  opener->resumed();
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK(st.st_uid == 1000);
  CHECK(st.st_gid == 1000);
  CHECK((st.st_mode & 07777) == 0640);
  REQUIRE(::stat((top.path + "/a").c_str(), &st) == 0);
  CHECK(st.st_uid == 1000);
}

TEST_CASE("files: a task can have made no file where it may not") {
  const Folder top;
  fs::create_directory(top.path + "/roots");
  fs::permissions(top.path + "/roots", fs::perms::owner_all);
  const std::string path = top.path + "/roots/file";
  const auto send = [&](uint32_t uid) {
    return failure(
        [&] { make_file_opener(rules_for(top, path, uid))->add_ghosts(ghost_images(S_IFREG | 0644, path)); });
  };
  CHECK(send(1000) == path + " cannot be created here");
  CHECK(send(0).empty());
}

TEST_CASE("files: no symbolic link is followed, and none replaced") {
  const Folder top, elsewhere;
  fs::create_directory_symlink(elsewhere.path, top.path + "/link");
  const auto send = [&](const std::string& path) {
    return failure([&] {
      const auto opener = make_file_opener(rules_for(top, path, 0));
      opener->add_ghosts(ghost_images(S_IFREG | 0644, path));
      opener->commit();
    });
  };
  CHECK(send(top.path + "/link/file").find("cannot be created here") != std::string::npos);
  fs::create_symlink(elsewhere.path + "/victim", top.path + "/file");
  CHECK(send(top.path + "/file").find("cannot be renamed to its path here") != std::string::npos);
  CHECK(names_in(elsewhere.path).empty());
  CHECK(fs::is_symlink(top.path + "/file"));
}

TEST_CASE("files: set-id bits and devices need what a task may have") {
  const Folder top;
  const auto send = [&](uint32_t mode, uint32_t owner, const Policy& policy) {
    FileRules rules{policy, top.path + "/.ghosts", {}};
    return failure([&] { make_file_opener(std::move(rules))->add_ghosts(ghost_images(mode, {}, owner)); });
  };
  Policy users;
  users.uids = {{1000, 1999}};
  CHECK(send(S_IFREG | 0644, 0, users).empty());
  CHECK(send(S_IFREG | 04755, 1000, users).empty());
  CHECK(send(S_IFREG | 04755, 0, users).find("has set-id bits that are not allowed here") != std::string::npos);
  CHECK(send(S_IFREG | 04755, 0, Policy()).empty());
  Policy groups;
  groups.gids = {{1000, 1999}};
  CHECK(send(S_IFREG | 02755, 0, groups).find("has set-id bits that are not allowed here") != std::string::npos);
  CHECK(send(S_IFBLK | 0600, 0, users).find("is a deleted device, which needs CAP_MKNOD") != std::string::npos);
}

TEST_CASE("files: deleted files are made below the store only") {
  const Folder top, elsewhere;
  const auto opener = make_file_opener(FileRules{{}, top.path + "/.ghosts", {}});
  img::file_entry file;
  file.set_id(kFile);
  file.set_type(img::REG);
  file.mutable_reg()->set_id(kFile);
  file.mutable_reg()->set_flags(O_RDONLY);
  file.mutable_reg()->set_pos(0);
  file.mutable_reg()->set_name(elsewhere.path + "/gone");
  opener->add(file);
  opener->add_ghosts(ghost_images(S_IFREG | 0644));
  const Fd fd = opener->open(kFile, 0);
  CHECK(fs::read_symlink("/proc/self/fd/" + std::to_string(fd.get())).string().starts_with(top.path + "/.ghosts/"));
  opener->resumed();
  CHECK(names_in(top.path) == std::vector{top.path + "/.ghosts"});
}

TEST_CASE("files: a name that is to be removed is one of link-remap") {
  const Folder top;
  const std::string victim = top.path + "/passwd", remap = top.path + "/link_remap.1-2";
  for (const std::string& name : {victim, remap}) {
    std::ofstream(name) << "text";
    const auto opener = make_file_opener();
    for (const uint32_t id : {kFile, kFile + 1}) {
      img::file_entry file;
      file.set_id(id);
      file.set_type(img::REG);
      file.mutable_reg()->set_id(id);
      file.mutable_reg()->set_flags(O_RDONLY);
      file.mutable_reg()->set_pos(0);
      file.mutable_reg()->set_name(name);
      opener->add(file);
    }
    ImageStore images;
    img::remap_file_path_entry linked;
    linked.set_orig_id(kFile);
    linked.set_remap_id(kFile + 1);
    linked.set_remap_type(img::LINKED);
    images.append(image_file::kRemapFpath, linked);
    opener->add_ghosts(images);
    CHECK(opener->open(kFile, 0));
    opener->resumed();
  }
  CHECK(fs::exists(victim));
  CHECK_FALSE(fs::exists(remap));
}

TEST_CASE("files: preflight asks only for files below an allowed directory") {
  const Folder top, elsewhere;
  fs::create_directory_symlink(elsewhere.path, top.path + "/link");
  const auto ask = [&](const std::string& path, const Policy& policy) {
    wire::Preflight preflight;
    wire::FileIdentity& file = *preflight.add_files();
    file.set_path(path);
    file.set_mode(S_IFREG | 0644);
    file.set_size(4);
    file.set_task(5);
    wire::TaskSummary& task = *preflight.add_tasks();
    task.set_pid(5);
    for (const uint32_t id : {1000u, 1000u, 1000u, 1001u}) {
      if (task.credentials_size() == 0) task.add_credentials();
      task.mutable_credentials(0)->add_uids(id);
      task.mutable_credentials(0)->add_gids(id + 1);
    }
    TaskFiles tasks = task_files_of(preflight, policy);
    FileComparison comparison(tasks, false, {});
    const auto findings = check_files(preflight.files(), true, policy, comparison);
    REQUIRE(findings.size() == 1);
    const auto permits = carry_permits(preflight, findings, policy);
    CHECK(permits.size() == (findings[0].fatal() ? 0 : 1));
    if (!permits.empty()) {
      CHECK(permits.begin()->first == path);
      CHECK(permits.begin()->second.ids.uid == 1001);
      CHECK(permits.begin()->second.ids.gid == 1002);
    }
    return findings[0].fatal() ? findings[0].reason() + "; " + findings[0].remedy() : "carried";
  };
  Policy policy;
  const std::string none =
      "does not exist here, and files may not be made there; start crx-agent with --allow-files and a directory above "
      "it";
  CHECK(ask(top.path + "/file", policy) == none);
  policy.files = {top.path};
  CHECK(ask(top.path + "/file", policy) == "carried");
  CHECK(ask(top.path + "/missing/file", policy) == "carried");
  CHECK(ask(elsewhere.path + "/file", policy) == none);
  CHECK(ask(top.path + "x/file", policy) == none);
  CHECK(ask(top.path + "/missing/../../file", policy) == none);
  CHECK(ask(top.path + "/link/file", policy) ==
        "is reached by a symbolic link here; put it there under its own path, for example by mount --bind");
}

}  // namespace crx
