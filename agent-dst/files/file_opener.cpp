#include "agent-dst/files/file_opener.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "agent-dst/files/carried_file.hpp"
#include "agent-dst/files/ghost_file.hpp"
#include "agent-dst/files/proc_of_ended.hpp"
#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

// Flags that must not apply again when a file is reopened, and O_ASYNC, which F_SETFL sets later.
constexpr uint32_t kNeverFlags = O_CREAT | O_EXCL | O_TRUNC | O_ASYNC;

constexpr char kFileOpenerStep[] = "opening files";

// Whether the path is one that the source makes with --link-remap, or CRIU with an option of the same name.
bool is_link_remap(const std::string& path) {
  return path.compare(path.rfind('/') + 1, 11, "link_remap.") == 0;
}

class Opener final : public FileOpener {
 public:
  explicit Opener(FileRules rules) : rules_(std::move(rules)) {}

  void add(const img::file_entry& entry) override {
    // For the kernel the name would end at the NUL.
    if (entry.reg().name().find('\0') != std::string::npos) {
      throw Error(ErrorCode::corrupt_image, kFileOpenerStep,
                  fmt::format("the name of file {} contains a NUL", entry.id()))
          .with_image(std::string(image_file::kFiles));
    }
    entries_[entry.id()] = entry;
  }

  const img::file_entry& entry(uint32_t id) const override {
    const auto found = entries_.find(id);
    if (found == entries_.end()) {
      throw Error(ErrorCode::corrupt_image, kFileOpenerStep,
                  fmt::format("there is no file {}, which the set refers to", id))
          .with_image(std::string(image_file::kFiles));
    }
    return found->second;
  }

  Fd open(uint32_t id, pid_t task) override { return open_file(id, task, false); }
  Fd open_description(uint32_t id, pid_t task) override { return open_file(id, task, true); }

  Fd locate(uint32_t id, pid_t task) override {
    const auto ghost = ghost_of_.find(id);
    if (ghost != ghost_of_.end()) return open_checked(ghost_link(ghost->second, entry(id).reg()), O_PATH);
    const img::reg_file_entry& reg = entry(id).reg();
    Fd found = rules_.tasks.find(task, reg.name(), O_NOFOLLOW);
    if (!found) explain_failure(reg, task, errno);
    compare(reg, task, found.get(), false);
    return found;
  }

  bool is_carried(uint32_t id) const override { return ghost_of_.contains(id); }

  TaskFiles& tasks() noexcept override { return rules_.tasks; }

  void add_ghosts(const ImageSource& images) override {
    std::map<uint32_t, std::string> paths;  // path of every ghost file
    for (const auto& remap : images.read_all<img::remap_file_path_entry>(image_file::kRemapFpath)) {
      if (remap.has_remap_type() && remap.remap_type() == img::LINKED) {
        linked_[remap.orig_id()] = remap.remap_id();
        continue;
      }
      if (remap.has_remap_type() && remap.remap_type() == img::PROCFS) {
        ended_[remap.orig_id()] = static_cast<pid_t>(remap.remap_id());
        continue;
      }
      if (remap.has_remap_type() && remap.remap_type() != img::GHOST) {
        throw Error(ErrorCode::unsupported, kFileOpenerStep,
                    fmt::format("file {} was found under another name", remap.orig_id()))
            .with_image(std::string(image_file::kRemapFpath));
      }
      ghost_of_[remap.orig_id()] = remap.remap_id();
      const auto found = entries_.find(remap.orig_id());
      paths[remap.remap_id()] = found == entries_.end() ? std::string() : found->second.reg().name();
      if (remap.has_crx_path()) carry(remap.remap_id(), remap.crx_path());
    }
    for (const auto& [ghost, path] : paths) fill(images, ghost, path);
  }

  void commit() override {
    for (auto& [ghost, file] : carried_) file.commit();
  }

  void resumed() noexcept override {
    for (auto& [ghost, file] : carried_) file.keep();
    for (const LinkRemap& remap : opened_remaps_) remove(remap);
  }

 private:
  // Another name of a file, which the source made, and which is not needed any more once the file is open.
  struct LinkRemap {
    std::string path;
    FileStamp file;
    pid_t task = 0;
  };

  // Removes the name if it is still that file's, in the directory in which it was found.
  void remove(const LinkRemap& remap) noexcept {
    try {
      const std::size_t slash = remap.path.rfind('/');
      const std::string name = remap.path.substr(slash + 1);
      const Fd directory = rules_.tasks.find(remap.task, slash == 0 ? "/" : remap.path.substr(0, slash), O_DIRECTORY);
      const Fd file = directory ? try_find(directory.get(), name) : Fd();
      if (!file) return;
      const FileStamp now = stamp_of(file.get(), remap.path);
      if (now.dev != remap.file.dev || now.ino != remap.file.ino) return;
      const bool removed =
          rules_.tasks.act_as(remap.task, [&] { return ::unlinkat(directory.get(), name.c_str(), 0) == 0; });
      if (!removed && errno != ENOENT) log::warn("cannot remove the name {}", remap.path);
    } catch (const Error& error) {
      log::warn("cannot remove the name {}: {}", remap.path, error.what());
    }
  }

  void make_ghosts_directory() const {
    if (!rules_.ghosts.empty() && ::mkdir(rules_.ghosts.c_str(), 0700) != 0 && errno != EEXIST)
      throw_errno(kFileOpenerStep, rules_.ghosts);
  }

  void carry(uint32_t ghost, const std::string& path) {
    if (ghosts_.contains(ghost)) return;
    const auto permit = rules_.carried.find(path);
    if (permit == rules_.carried.end()) {
      throw Error(ErrorCode::peer, kFileOpenerStep,
                  fmt::format("the source sends the file {}, which this host has not asked for", path));
    }
    const auto made = carried_.try_emplace(ghost, path, permit->second, fmt::format("{}-{}", ::getpid(), ghost)).first;
    ghosts_[ghost] = made->second.take();
  }

  // Writes the content, unless the file has it already.
  void fill(const ImageSource& images, uint32_t ghost, const std::string& path) {
    const std::string_view content = images.load(image_file::ghost_file(ghost));
    std::string digest(digest128(std::as_bytes(std::span(content))).view());
    if (filled_[ghost] == digest) return;
    Fd& file = ghosts_[ghost];
    const auto carried = carried_.find(ghost);
    make_ghosts_directory();
    fill_ghost(images, ghost, path, rules_, carried == carried_.end() ? nullptr : &carried->second.ids(), file);
    // Closing a writable descriptor notifies inotify watchers, so an O_PATH descriptor is kept from here on.
    if ((::fcntl(file.get(), F_GETFL) & O_PATH) == 0)
      file = open_checked(fmt::format("/proc/self/fd/{}", file.get()), O_PATH);
    filled_[ghost] = std::move(digest);
  }

  Fd open_file(uint32_t id, pid_t task, bool exact) {
    const img::file_entry& file = entry(id);
    if (file.type() != img::REG || !file.has_reg()) {
      throw Error(ErrorCode::corrupt_image, kFileOpenerStep, fmt::format("file {} is not opened by name", id))
          .with_image(std::string(image_file::kFiles));
    }
    const img::reg_file_entry& reg = file.reg();
    const auto flags = static_cast<int>((reg.flags() & ~kNeverFlags) | O_NOCTTY);
    // The last component of a path from the kernel is a symbolic link only if the program opened the link itself.
    const bool is_link = reg.has_mode() && S_ISLNK(reg.mode());
    const auto ghost = ghost_of_.find(id);
    if (ghost != ghost_of_.end()) {
      const std::string name = ghost_link(ghost->second, reg);
      // A symbolic link without a name cannot be reopened, but its descriptor (O_PATH) already has the flags wanted.
      return is_link ? duplicate(ghosts_.at(ghost->second).get()) : open_checked(name, flags & ~O_NOFOLLOW);
    }
    if (const auto ended = ended_.find(id); ended != ended_.end())
      return open_proc_of_ended(reg.name(), flags, reg.pos(), ended->second);
    const auto link = linked_.find(id);
    const img::reg_file_entry& named = link == linked_.end() ? reg : entry(link->second).reg();
    const int found_as = (is_link ? O_NOFOLLOW : 0) | ((flags & O_PATH) != 0 ? flags & (O_NOFOLLOW | O_DIRECTORY) : 0);
    Fd found = rules_.tasks.find(task, named.name(), found_as);
    if (!found) explain_failure(named, task, errno);
    compare(reg, task, found.get(), exact || (reg.flags() & O_ACCMODE) == O_RDONLY);
    if (link != linked_.end() && is_link_remap(named.name()))
      opened_remaps_.push_back({named.name(), stamp_of(found.get(), named.name()), task});
    if ((flags & O_PATH) != 0 || is_link) return found;
    Fd opened = rules_.tasks.open(task, found.get(), named.name(), flags);
    if (!opened) explain_failure(named, task, errno);
    return opened;
  }

  std::string ghost_link(uint32_t ghost, const img::reg_file_entry& reg) const {
    const auto found = ghosts_.find(ghost);
    if (found != ghosts_.end() && found->second) return fmt::format("/proc/self/fd/{}", found->second.get());
    throw Error(ErrorCode::corrupt_image, kFileOpenerStep, reg.name() + ": its content was not carried along");
  }

  [[noreturn]] void explain_failure(const img::reg_file_entry& reg, pid_t task, int err) const {
    constexpr char kSameFile[] = "put the same file there, or use storage that both hosts share";
    if (err == ENOENT || err == ENOTDIR)
      throw Error(ErrorCode::refused, kFileOpenerStep, reg.name() + " does not exist here", err).with_hint(kSameFile);
    if (err == ELOOP)
      throw Error(ErrorCode::refused, kFileOpenerStep, reg.name() + " is reached by a symbolic link here")
          .with_hint("put it there under its own path, for example by mount --bind");
    if (err == ESTALE)
      throw Error(ErrorCode::refused, kFileOpenerStep, reg.name() + " was replaced here while it was opened")
          .with_hint("try again");
    if (err == EACCES || err == EPERM) {
      throw Error(ErrorCode::refused, kFileOpenerStep,
                  fmt::format("{} cannot be opened here as {}", reg.name(), rules_.tasks.user_of(task)), err)
          .with_hint("let that user open it, or allow root tasks on crx-agent");
    }
    throw Error(ErrorCode::refused, kFileOpenerStep, reg.name() + " cannot be opened here", err);
  }

  // Compares what was found with the entry, and with what is known of the file at this path since preflight.
  void compare(const img::reg_file_entry& reg, pid_t task, int found, bool with_size) const {
    struct stat st {};
    if (::fstat(found, &st) != 0) throw_errno(kFileOpenerStep, reg.name());
    if (reg.has_mode() && (reg.mode() & S_IFMT) != (st.st_mode & S_IFMT)) {
      throw Error(ErrorCode::refused, kFileOpenerStep, reg.name() + " is another kind of file here");
    }
    if (with_size && reg.has_size() && S_ISREG(st.st_mode) && static_cast<uint64_t>(st.st_size) != reg.size()) {
      throw Error(ErrorCode::refused, kFileOpenerStep,
                  fmt::format("{} is another file here: {} bytes instead of {}", reg.name(), st.st_size, reg.size()))
          .with_hint("put the same file there, or use storage that both hosts share");
    }
    if (const auto difference = rules_.tasks.difference_since(task, reg.name(), found)) {
      throw Error(ErrorCode::refused, kFileOpenerStep,
                  fmt::format("{} was replaced here after it had been compared: it {}", reg.name(), *difference))
          .with_hint("put the same file there, or use storage that both hosts share");
    }
  }

  FileRules rules_;
  std::map<uint32_t, img::file_entry> entries_;
  std::map<uint32_t, uint32_t> ghost_of_;  // file id -> ghost
  std::map<uint32_t, Fd> ghosts_;
  std::map<uint32_t, std::string> filled_;   // digest of the content that a ghost has
  std::map<uint32_t, CarriedFile> carried_;  // ghosts that get a path
  std::map<uint32_t, pid_t> ended_;          // file id -> id of the ended task that this file of /proc describes
  std::map<uint32_t, uint32_t> linked_;      // file id -> id of the entry with another name of the file
  std::vector<LinkRemap> opened_remaps_;
};

}  // namespace

std::unique_ptr<FileOpener> make_file_opener(FileRules rules) {
  return std::make_unique<Opener>(std::move(rules));
}

}  // namespace crx
