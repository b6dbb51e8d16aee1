// Refuses, by name, every descriptor that no other kind has matched.
#include <fmt/format.h>

#include <array>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/sockets/socket_names.hpp"

namespace crx {
namespace {

struct Known {
  std::string_view link;  // the beginning of the link
  std::string_view what;
  std::string_view why = "which cannot be moved";
};
constexpr std::array<Known, 13> kKnown = {{
    {"anon_inode:[io_uring]", "an io_uring", "whose requests cannot be moved"},
    {"anon_inode:[userfaultfd]", "a userfaultfd", "which handles page faults of its own"},
    {"anon_inode:[perf_event]", "a performance counter"},
    {"anon_inode:bpf", "a BPF object"},
    {"anon_inode:seccomp notify", "a seccomp listener", "which decides about system calls of others"},
    {"anon_inode:kvm", "a virtual machine"},
    {"anon_inode:[landlock", "a Landlock rule set"},
    {"anon_inode:[fscontext]", "a filesystem being configured"},
    {"anon_inode:sync_file", "a graphics fence"},
    {"anon_inode:", "a kernel object"},
    {"/secretmem", "secret memory", "which only its owner can read"},
    {"/dmabuf:", "a device's buffer"},
    {"mnt:[", "a namespace"},
}};

std::string describe(const OpenFile& file) {
  Known found{"", "a kind of file that crx does not know"};
  if (S_ISSOCK(file.st.st_mode))
    return fmt::format("it is {}, {}", describe_socket(file.pid, file.st.st_ino), found.why);
  if (!file.link.starts_with('/') && file.link.find(":[") != std::string::npos) found.what = "a namespace";
  for (const Known& known : kKnown) {
    if (!std::string_view(file.link).starts_with(known.link)) continue;
    found = known;
    break;
  }
  return fmt::format("it is {}, {}", found.what, found.why);
}

class UnsupportedFds final : public FdKind {
 public:
  const char* name() const override { return "unsupported descriptors"; }
  bool matches(const OpenFile&) const override { return true; }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    // In a running program it may have been closed since it was listed, before its kind could look at it.
    if (is_open_still(file)) context.refusals.push_back(refusal_of(file, describe(file), kRemedy));
  }
  void collect(OpenFile& file, FdContext&, img::file_entry&) override { refuse(file, describe(file), kRemedy); }

 private:
  static constexpr char kRemedy[] = "close it before moving the program";
};

}  // namespace

FdKindPtr make_unsupported_fds() {
  return std::make_unique<UnsupportedFds>();
}

}  // namespace crx
