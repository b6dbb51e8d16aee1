#include "common/proc/status.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

// The kernel escapes comm with string_escape_str(ESCAPE_SPACE | ESCAPE_SPECIAL, "\n\\").
std::string unescape_name(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == '\\')) {
      out += text[++i] == 'n' ? '\n' : '\\';
    } else {
      out += text[i];
    }
  }
  return out;
}

FourIds four_ids(Scanner& line) {
  FourIds ids;
  for (uint32_t* id : {&ids.real, &ids.effective, &ids.saved, &ids.filesystem}) *id = line.blanks().dec32();
  line.expect_end();
  return ids;
}

std::vector<uint32_t> numbers(Scanner& line) {
  std::vector<uint32_t> all;
  while (!line.blanks().at_end()) all.push_back(line.dec32());
  return all;
}

std::vector<int32_t> pids(Scanner& line) {
  std::vector<int32_t> all;
  while (!line.blanks().at_end()) all.push_back(line.signed_dec32());
  return all;
}

// Parses "00000000,00000003"; the highest word comes first.
std::vector<uint32_t> mask_words(Scanner& line) {
  std::vector<uint32_t> words;
  do words.push_back(line.blanks().hex32());
  while (line.accept(","));
  line.expect_end();
  std::reverse(words.begin(), words.end());
  return words;
}

bool boolean(Scanner& line) {
  const uint32_t value = line.dec32();
  if (value > 1) line.fail("0 or 1 should follow");
  return value == 1;
}

struct Field {
  std::string_view key;
  void (*read)(Status&, Scanner&);
};

#define CRX_KIB(key, member)         \
  Field {                            \
    key, [](Status& s, Scanner& l) { \
      s.member = l.dec();            \
      l.expect(" kB");               \
    }                                \
  }
#define CRX_HEX(key, member)                               \
  Field {                                                  \
    key, [](Status& s, Scanner& l) { s.member = l.hex(); } \
  }
#define CRX_TEXT(key, member)                               \
  Field {                                                   \
    key, [](Status& s, Scanner& l) { s.member = l.left(); } \
  }

constexpr std::array kFields = {
    Field{"Umask", [](Status& s, Scanner& l) { s.umask = l.oct32(); }},
    Field{"State", [](Status& s, Scanner& l) { s.state = l.character(); }},
    Field{"Tgid", [](Status& s, Scanner& l) { s.tgid = l.signed_dec32(); }},
    Field{"Pid", [](Status& s, Scanner& l) { s.pid = l.signed_dec32(); }},
    Field{"PPid", [](Status& s, Scanner& l) { s.ppid = l.signed_dec32(); }},
    Field{"TracerPid", [](Status& s, Scanner& l) { s.tracer_pid = l.signed_dec32(); }},
    Field{"Uid", [](Status& s, Scanner& l) { s.uid = four_ids(l); }},
    Field{"Gid", [](Status& s, Scanner& l) { s.gid = four_ids(l); }},
    Field{"Groups", [](Status& s, Scanner& l) { s.groups = numbers(l); }},
    Field{"NStgid", [](Status& s, Scanner& l) { s.ns_tgid = pids(l); }},
    Field{"NSpid", [](Status& s, Scanner& l) { s.ns_pid = pids(l); }},
    Field{"NSpgid", [](Status& s, Scanner& l) { s.ns_pgid = pids(l); }},
    Field{"NSsid", [](Status& s, Scanner& l) { s.ns_sid = pids(l); }},
    Field{"Kthread", [](Status& s, Scanner& l) { s.kernel_thread = boolean(l); }},
    CRX_KIB("VmSize", vm_size_kib),
    CRX_KIB("VmLck", vm_locked_kib),
    CRX_KIB("VmPin", vm_pinned_kib),
    CRX_KIB("VmRSS", vm_rss_kib),
    CRX_KIB("RssAnon", rss_anon_kib),
    CRX_KIB("RssFile", rss_file_kib),
    CRX_KIB("RssShmem", rss_shmem_kib),
    CRX_KIB("VmSwap", vm_swap_kib),
    CRX_KIB("HugetlbPages", hugetlb_kib),
    Field{"CoreDumping", [](Status& s, Scanner& l) { s.core_dumping = boolean(l); }},
    Field{"THP_enabled", [](Status& s, Scanner& l) { s.thp_enabled = boolean(l); }},
    Field{"untag_mask", [](Status& s, Scanner& l) { s.untag_mask = l.prefixed_hex(); }},
    Field{"Threads", [](Status& s, Scanner& l) { s.threads = l.dec32(); }},
    Field{"SigQ",
          [](Status& s, Scanner& l) {
            s.queued_signals = l.dec();
            s.queued_signals_limit = l.expect("/").dec();
          }},
    CRX_HEX("SigPnd", pending),
    CRX_HEX("ShdPnd", shared_pending),
    CRX_HEX("SigBlk", blocked),
    CRX_HEX("SigIgn", ignored),
    CRX_HEX("SigCgt", caught),
    CRX_HEX("CapInh", cap_inheritable),
    CRX_HEX("CapPrm", cap_permitted),
    CRX_HEX("CapEff", cap_effective),
    CRX_HEX("CapBnd", cap_bounding),
    CRX_HEX("CapAmb", cap_ambient),
    Field{"NoNewPrivs", [](Status& s, Scanner& l) { s.no_new_privs = boolean(l); }},
    Field{"Seccomp", [](Status& s, Scanner& l) { s.seccomp = l.dec32(); }},
    Field{"Seccomp_filters", [](Status& s, Scanner& l) { s.seccomp_filters = l.dec32(); }},
    CRX_TEXT("Speculation_Store_Bypass", speculation_store_bypass),
    CRX_TEXT("SpeculationIndirectBranch", speculation_indirect_branch),
    Field{"Cpus_allowed", [](Status& s, Scanner& l) { s.cpus_allowed = mask_words(l); }},
    Field{"Mems_allowed", [](Status& s, Scanner& l) { s.mems_allowed = mask_words(l); }},
    CRX_TEXT("x86_Thread_features", x86_thread_features),
    CRX_TEXT("x86_Thread_features_locked", x86_thread_features_locked),
    Field{"voluntary_ctxt_switches", [](Status& s, Scanner& l) { s.voluntary_switches = l.dec(); }},
    Field{"nonvoluntary_ctxt_switches", [](Status& s, Scanner& l) { s.involuntary_switches = l.dec(); }},
};

#undef CRX_KIB
#undef CRX_HEX
#undef CRX_TEXT

}  // namespace

Status parse_status(std::string_view text) {
  Status status;
  bool named = false;
  // The fields come in the order of the table, so a search that starts at the last hit finds the next one at once.
  auto hint = kFields.begin();
  while (const auto text_line = next_line(text)) {
    Scanner line("/proc/PID/status", *text_line);
    const std::string_view key = line.until(':');
    if (!line.accept(":")) continue;
    if (key == "Name") {
      line.accept("\t");
      status.name = unescape_name(line.left());
      named = true;
      continue;
    }
    const auto matches = [&](const Field& field) { return field.key == key; };
    auto field = std::find_if(hint, kFields.end(), matches);
    if (field == kFields.end()) field = std::find_if(kFields.begin(), hint, matches);
    if (field == kFields.end() || (field == hint && !matches(*field))) continue;
    line.blanks();
    field->read(status, line);
    hint = field;
  }
  if (!named || status.state == '?' || status.pid == 0)
    Scanner("/proc/PID/status", "").fail("Name, State or Pid is missing");
  return status;
}

}  // namespace crx::proc
