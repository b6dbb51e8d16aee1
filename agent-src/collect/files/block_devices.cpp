// Block devices: opened again by their path, which must lead to the same disk at the destination.
#include <fcntl.h>
#include <unistd.h>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/file_name.hpp"

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
    // Another host that has the same disk does not see data that is still in this host's page cache.
    const bool writes = (file.info.flags & O_ACCMODE) != O_RDONLY;
    if (writes && context.task.options.digest_written_files && ::fdatasync(file.own.get()) != 0) {
      refuse(file, "what was written to it cannot be brought to the disk", "look for errors of the device (dmesg)");
    }
    describe_device(file, context, entry);
  }

 private:
  static bool has_name(const OpenFile& file) {
    const NameState state = find_name(file.pid, file.link, file.st).state;
    return state == NameState::good || state == NameState::deleted;
  }
};

}  // namespace

FdKindPtr make_block_devices() {
  return std::make_unique<BlockDevices>();
}

}  // namespace crx
