// crx-image: shows, checks, lists and removes image sets, and frees pages that later sets have replaced.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "agent-dst/image_tool/image_decode.hpp"
#include "agent-dst/image_tool/image_show.hpp"
#include "agent-dst/image_tool/stored_sets.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/size.hpp"
#include "common/base/version.hpp"
#include "common/image/dedup.hpp"
#include "common/image/page_images.hpp"
#include "common/image/set_name.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

constexpr char kDefaultStore[] = "/var/lib/crx";
constexpr char kUsage[] =
    "Usage: crx-image [OPTIONS] show|verify|dedup DIR\n"
    "       crx-image [OPTIONS] decode DIR [IMAGE...]\n"
    "       crx-image [OPTIONS] list|remove [--store DIR] [--name SET]\n"
    "Inspects the image set in DIR, or manages the store of an agent.\n"
    "\n"
    "  show      print the tree of tasks, their memory and files, and the origin of the set\n"
    "  verify    compare every file with the set's manifest, and the same for its parents; exit with 0 or 1\n"
    "  dedup     free the pages in the parents of the set that the set replaces\n"
    "  decode    print images as JSON, one object per line; all images that have entries if none is named\n"
    "  list      print the sets in a store, with size, age, and the set that each one continues\n"
    "  remove    remove a set from a store, unless another one continues it\n"
    "\n"
    "  --store DIR  the store of an agent; default /var/lib/crx\n"
    "  --name SET   a set in the store; for the other verbs, in place of DIR\n"
    "  --json       print one JSON object (decode: always one for each image)\n"
    "  --log-level error|warn|info|debug  default warn\n"
    "  -h,--help, --version\n"
    "\n"
    "Exit status: 0 done; 1 the set is damaged, or the work failed; 2 wrong usage\n";

void verify(const std::string& path, bool json) {
  std::string at = path;
  const std::size_t levels = ImageSet::open(path).levels();
  for (std::size_t level = 0; level < levels; ++level, at += "/parent") {
    const ImageSet set = ImageSet::open(at);
    set.verify_pages();
    for (const std::string& name : set.images().names()) {
      // Checks that every page of a pagemap can be found.
      if (level > 0 || !name.starts_with("pagemap-")) continue;
      const bool object = name.starts_with("pagemap-shmem-");
      const uint64_t id = std::strtoull(name.c_str() + (object ? 14 : 8), nullptr, 10);
      static_cast<void>(set.pages({object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, id}));
    }
    if (set.manifest() == nullptr)
      std::fprintf(stderr, "crx-image: %s was made by CRIU and has no digests\n", at.c_str());
  }
  if (json) {
    std::printf("{\"event\":\"verified\",\"sets\":%zu}\n", levels);
    return;
  }
  std::printf("%s: %zu set%s, all files are as written\n", path.c_str(), levels, levels == 1 ? "" : "s");
}

void dedup(const std::string& path, bool json) {
  const uint64_t freed = deduplicate(path);
  if (json) {
    std::printf("{\"event\":\"deduplicated\",\"freed_bytes\":%llu}\n", static_cast<unsigned long long>(freed));
  } else {
    std::printf("%s freed\n", format_size(freed).c_str());
  }
}

void decode(const std::string& path, std::vector<std::string> names) {
  const DirectorySource images(path);
  if (names.empty()) {
    for (const std::string& name : images.names()) {
      if (!name.starts_with("pages-")) names.push_back(name);
    }
  }
  for (std::string& name : names) {
    if (!name.ends_with(".img")) name += ".img";
    std::printf("%s\n", image_to_json(images, name).c_str());
  }
}

int wrong(const std::string& text) {
  std::fprintf(stderr, "crx-image: %s\nTry 'crx-image --help' for more.\n", text.c_str());
  return 2;
}

void list(const std::string& store, bool json) {
  const std::vector<StoredSet> sets = list_sets(store);
  std::fputs((json ? sets_json(sets) : sets_text(sets, clock_ns(CLOCK_REALTIME))).c_str(), stdout);
}

void remove(const std::string& store, const std::string& name, bool json) {
  const uint64_t bytes = remove_set(store, name);
  if (json) {
    std::printf("{\"event\":\"removed\",\"name\":\"%s\",\"freed_bytes\":%llu}\n", name.c_str(),
                static_cast<unsigned long long>(bytes));
  } else {
    std::printf("%s removed, %s freed\n", name.c_str(), format_size(bytes).c_str());
  }
}

bool is_verb(std::string_view word) {
  constexpr std::string_view kVerbs[] = {"show", "verify", "dedup", "decode", "list", "remove"};
  return std::find(std::begin(kVerbs), std::end(kVerbs), word) != std::end(kVerbs);
}

int run(const std::vector<std::string>& arguments) {
  bool json = false;
  std::string level = "warn", store, name;
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
    if (word == "--version") return std::printf("%s\n", version_text("crx-image").c_str()) < 0 ? 1 : 0;
    if (word == "--json") {
      json = true;
    } else if (word == "--log-level" && i + 1 < arguments.size()) {
      level = arguments[++i];
    } else if (word == "--store" && i + 1 < arguments.size()) {
      store = arguments[++i];
    } else if (word == "--name" && i + 1 < arguments.size()) {
      name = arguments[++i];
    } else if (word.starts_with("-")) {
      return wrong("'" + word + "' is not an option, or its value is missing");
    } else {
      words.push_back(word);
    }
  }
  if (level != "error" && level != "warn" && level != "info" && level != "debug")
    return wrong("'" + level + "' is not a log level");
  log::setup(log::parse_level(level), "image");
  if (words.empty()) return wrong("a verb is required: show, verify, dedup, decode, list or remove");
  const std::string verb = words[0];
  if (!is_verb(verb)) return wrong("'" + verb + "' is not a verb");
  const bool keeps = verb == "list" || verb == "remove";
  if (!store.empty() && name.empty() && verb != "list") return wrong("--store needs --name");
  if (store.empty()) store = kDefaultStore;
  if (!name.empty() && !valid_set_name(name)) return wrong("'" + name + "' is not the name of a set");
  if (verb == "list" && !name.empty()) return wrong("list shows all sets, so it does not take --name");
  if (verb == "remove" && name.empty()) return wrong("--name is required: the set");
  if (!keeps && !name.empty()) words.insert(words.begin() + 1, store + "/" + name);
  if (!keeps && words.size() < 2) return wrong("DIR is required: the image set");
  if (words.size() > (keeps ? 1 : 2) && verb != "decode")
    return wrong("'" + words.back() + "' is an unexpected argument");
  try {
    if (verb == "show") std::fputs((json ? show_set_json : show_set)(ImageSet::open(words[1])).c_str(), stdout);
    if (verb == "verify") verify(words[1], json);
    if (verb == "dedup") dedup(words[1], json);
    if (verb == "decode") decode(words[1], {words.begin() + 2, words.end()});
    if (verb == "list") list(store, json);
    if (verb == "remove") remove(store, name, json);
  } catch (const std::exception& error) {
    if (json) std::printf("%s\n", error_json(error).c_str());
    throw;
  }
  return 0;
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    return crx::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-image: %s\n", error.what());
    return 1;
  }
}
