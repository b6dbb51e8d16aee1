#include "agent-dst/policy/capabilities.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <array>

namespace crx {
namespace {

// In the order of their numbers: linux/capability.h, up to Linux 5.9, which added the last one.
constexpr std::array<std::string_view, 41> kCapabilityNames = {"CHOWN",
                                                               "DAC_OVERRIDE",
                                                               "DAC_READ_SEARCH",
                                                               "FOWNER",
                                                               "FSETID",
                                                               "KILL",
                                                               "SETGID",
                                                               "SETUID",
                                                               "SETPCAP",
                                                               "LINUX_IMMUTABLE",
                                                               "NET_BIND_SERVICE",
                                                               "NET_BROADCAST",
                                                               "NET_ADMIN",
                                                               "NET_RAW",
                                                               "IPC_LOCK",
                                                               "IPC_OWNER",
                                                               "SYS_MODULE",
                                                               "SYS_RAWIO",
                                                               "SYS_CHROOT",
                                                               "SYS_PTRACE",
                                                               "SYS_PACCT",
                                                               "SYS_ADMIN",
                                                               "SYS_BOOT",
                                                               "SYS_NICE",
                                                               "SYS_RESOURCE",
                                                               "SYS_TIME",
                                                               "SYS_TTY_CONFIG",
                                                               "MKNOD",
                                                               "LEASE",
                                                               "AUDIT_WRITE",
                                                               "AUDIT_CONTROL",
                                                               "SETFCAP",
                                                               "MAC_OVERRIDE",
                                                               "MAC_ADMIN",
                                                               "SYSLOG",
                                                               "WAKE_ALARM",
                                                               "BLOCK_SUSPEND",
                                                               "AUDIT_READ",
                                                               "PERFMON",
                                                               "BPF",
                                                               "CHECKPOINT_RESTORE"};

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::optional<uint64_t> parse_capability(std::string_view name) {
  if (same_text(name.substr(0, 4), "CAP_")) name.remove_prefix(4);
  for (std::size_t i = 0; i < kCapabilityNames.size(); ++i) {
    if (same_text(name, kCapabilityNames[i])) return uint64_t{1} << i;
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> parse_capabilities(std::string_view text) {
  if (same_text(text, "all")) return kAllCapabilities;
  if (same_text(text, "none")) return 0;
  uint64_t set = 0;
  for (;;) {
    const std::size_t comma = text.find(',');
    const auto one = parse_capability(text.substr(0, comma));
    if (!one) return std::nullopt;
    set |= *one;
    if (comma == std::string_view::npos) return set;
    text.remove_prefix(comma + 1);
  }
}

std::string capability_names(uint64_t set) {
  std::string text;
  for (unsigned cap = 0; cap < 64; ++cap) {
    if ((set >> cap & 1) == 0) continue;
    if (!text.empty()) text += ", ";
    text += cap < kCapabilityNames.size() ? fmt::format("CAP_{}", kCapabilityNames[cap])
                                          : fmt::format("capability {}", cap);
  }
  return text;
}

}  // namespace crx
