// Character devices without state: they only have to be opened again, by their path.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/file_name.hpp"

namespace crx {
namespace {

constexpr unsigned kMemMajor = 1, kMiscMajor = 10;

// The numbers are those of Documentation/admin-guide/devices.txt. Objects made through these devices (virtual machines,
// loop devices) have descriptors or names of their own.
bool is_stateless(dev_t device) {
  if (::major(device) == kMemMajor) {
    switch (::minor(device)) {
      case 3:
      case 5:
      case 7:
      case 8:
      case 9:
        return true;  // null, zero, full, random, urandom
      default:
        return false;
    }
  }
  if (::major(device) != kMiscMajor) return false;
  switch (::minor(device)) {
    case 183:
    case 232:
    case 234:
    case 235:
    case 237:
      return true;  // hwrng, kvm, btrfs-control, autofs, loop-control
    default:
      return false;
  }
}

class CharDevices final : public FdKind {
 public:
  const char* name() const override { return "character devices"; }
  bool matches(const OpenFile& file) const override { return S_ISCHR(file.st.st_mode) && !file.path_only(); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    if (const auto problem = problem_of(file)) {
      context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    if (const auto problem = problem_of(file)) refuse(file, problem->reason, problem->remedy);
    describe_device(file, context, entry);
  }

 private:
  static std::optional<NameProblem> problem_of(const OpenFile& file) {
    if (!is_stateless(file.st.st_rdev)) {
      return NameProblem{fmt::format("device {}:{} has state that cannot be moved", ::major(file.st.st_rdev),
                                     ::minor(file.st.st_rdev)),
                         "close it before moving the program"};
    }
    const FileName found = find_name(file.pid, file.link, file.st);
    if (found.state == NameState::good || found.state == NameState::deleted) return std::nullopt;
    return NameProblem{"its device file is hidden", "restore the device file under this path"};
  }
};

}  // namespace

FdKindPtr make_char_devices() {
  return std::make_unique<CharDevices>();
}

}  // namespace crx
