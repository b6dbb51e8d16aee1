// Block devices: opened again by their path, which must lead to the same disk there.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agent-src/collect/fd_kind.hpp"
#include "agent-src/collect/file_name.hpp"
#include "agent-src/collect/ghost_files.hpp"

namespace crx {
namespace {

constexpr char kReason[] = "its device file is hidden";
constexpr char kRemedy[] = "restore the device file under this path";

class BlockDevices final : public FdKind {
 public:
  const char* name() const override { return "block devices"; }
  bool matches(const OpenFile& file) const override { return S_ISBLK(file.st.st_mode) && !file.path_only(); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    if (!has_name(file)) context.refusals.push_back(refusal_of(file, kReason, kRemedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    if (!has_name(file)) refuse(file, kReason, kRemedy);
    // Another host that has the disk, too, does not see what lies in memory here.
    const bool writes = (file.info.flags & O_ACCMODE) != O_RDONLY;
    if (writes && context.task.options.digest_written_files && ::fdatasync(file.own.get()) != 0) {
      refuse(file, "what was written to it cannot be brought to the disk", "look for errors of the device (dmesg)");
    }
    entry.set_type(img::REG);
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(file.id);
    reg.set_flags(file.info.flags);
    reg.set_pos(static_cast<uint64_t>(std::max<int64_t>(file.info.pos, 0)));
    *reg.mutable_fown() = read_file_owner(file);
    const FileName found = find_name(file.pid, file.link, file.st);
    if (found.state == NameState::deleted) context.task.files.add_deleted(deleted_file(file, file.id, found.path), file.st);
    reg.set_name(found.path);
    reg.set_mode(file.st.st_mode);
    context.extra(file).set_rdev(static_cast<uint32_t>(file.st.st_rdev));
  }

 private:
  static bool has_name(const OpenFile& file) {
    const NameState state = find_name(file.pid, file.link, file.st).state;
    return state == NameState::good || state == NameState::deleted;
  }
};

}  // namespace

FdKindPtr make_block_devices() { return std::make_unique<BlockDevices>(); }

}  // namespace crx
