// crx-check: shows which of the kernel features that crx uses this host offers.
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/directory.hpp"
#include "common/base/log.hpp"
#include "common/base/version.hpp"
#include "common/kernel/features.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

constexpr char kUsage[] =
    "Usage: crx-check [--all] [--json] [--log-level LEVEL]\n"
    "Shows which of the kernel features that crx uses are missing on this host, and the consequences.\n"
    "\n"
    "  --all        show the available features, too\n"
    "  --json       print one JSON object with all features\n"
    "  --log-level error|warn|info|debug  default warn\n"
    "  -h,--help, --version\n"
    "\n"
    "Exit status: 0 processes can be moved and restored here; 1 they cannot, or this cannot be\n"
    "determined without more privileges; 2 wrong usage\n";

const char* text_of(Answer answer) {
  switch (answer) {
    case Answer::yes:
      return "yes";
    case Answer::no:
      return "no";
    case Answer::unknown:
      return "cannot be seen";
  }
  return "";
}

// Processes of our PID namespace whose memory a tracking daemon follows between two dumps.
std::vector<int> tracked() {
  std::vector<int> pids;
  struct stat st {};
  if (::stat("/proc/self/ns/pid", &st) != 0) return pids;
  const std::string prefix = "tracking-" + std::to_string(st.st_ino) + "-";
  for (const std::string& name : list_directory("/run/crx").value_or(std::vector<std::string>())) {
    if (!name.starts_with(prefix)) continue;
    const int pid = std::atoi(name.c_str() + prefix.size());
    if (::access(("/proc/" + std::to_string(pid)).c_str(), F_OK) == 0)
      pids.push_back(pid);  // false for a daemon that was killed
  }
  return pids;
}

nlohmann::json json_of(const std::vector<Feature>& features, bool works) {
  nlohmann::json list = nlohmann::json::array();
  for (const Feature& feature : features) {
    list.push_back({{"name", feature.name},
                    {"answer", feature.answer == Answer::unknown ? "unknown" : text_of(feature.answer)},
                    {"needed_for", feature.need == Need::migration ? "migration" : "comfort"},
                    {"since", feature.since},
                    {"used_for", feature.what},
                    {"lost_without", feature.lost},
                    {"remedy", feature.remedy},
                    {"detail", feature.detail}});
  }
  utsname host{};
  ::uname(&host);
  return {{"works", works},
          {"kernel", host.release},
          {"version", version()},
          {"tracked", tracked()},
          {"features", std::move(list)}};
}

void print(const std::vector<Feature>& features, bool all, bool works) {
  for (const Feature& feature : features) {
    if (feature.answer == Answer::yes && !all) continue;
    const std::string since = feature.since.empty() ? std::string() : " (" + std::string(feature.since) + ")";
    const std::string detail = feature.detail.empty() ? std::string() : ": " + feature.detail;
    std::printf("%-20s %s%s%s\n", std::string(feature.name).c_str(), text_of(feature.answer), since.c_str(),
                detail.c_str());
    if (feature.answer == Answer::yes) continue;
    std::printf("%20s for %s; without it: %s; remedy: %s\n", "", std::string(feature.what).c_str(),
                std::string(feature.lost).c_str(), std::string(feature.remedy).c_str());
  }
  for (const int pid : tracked()) std::printf("The memory of process %d is tracked for its next dump.\n", pid);
  std::printf("%s\n", works ? "Processes can be moved and restored on this host."
                            : "Processes cannot be moved or restored on this host with these privileges.");
}

bool is_level(const std::string& text) {
  return text == "error" || text == "warn" || text == "info" || text == "debug";
}

int run(const std::vector<std::string>& words) {
  bool all = false, json = false;
  std::string level = "warn";
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
    if (word == "--version") return std::printf("%s\n", version_text("crx-check").c_str()) < 0 ? 1 : 0;
    if (word == "--all") {
      all = true;
    } else if (word == "--json") {
      json = true;
    } else if (word == "--log-level" && i + 1 < words.size() && is_level(words[i + 1])) {
      level = words[++i];
    } else {
      std::fprintf(stderr,
                   "crx-check: '%s' is not an option, or its value is missing\nTry 'crx-check --help' for more.\n",
                   word.c_str());
      return 2;
    }
  }
  log::setup(log::parse_level(level), "check");
  const std::vector<Feature> features = probe_features();
  bool works = true;
  for (const Feature& feature : features)
    works = works && (feature.need == Need::comfort || feature.answer == Answer::yes);
  if (json) {
    std::printf("%s\n", json_of(features, works).dump().c_str());
  } else {
    print(features, all, works);
  }
  return works ? 0 : 1;
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    return crx::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-check: %s\n", error.what());
    return 1;
  }
}
