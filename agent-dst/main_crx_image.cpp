// crx-image: looks into image sets, checks them, and frees what later sets have replaced.
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "agent-dst/image_decode.hpp"
#include "agent-dst/image_show.hpp"
#include "common/base/error.hpp"
#include "common/base/failed_line.hpp"
#include "common/base/log.hpp"
#include "common/base/size.hpp"
#include "common/base/version.hpp"
#include "common/image/dedup.hpp"
#include "common/image/page_images.hpp"

namespace crx {
namespace {

constexpr char kUsage[] =
    "Usage: crx-image [OPTIONS] show|verify|dedup DIR\n"
    "       crx-image [OPTIONS] decode DIR [IMAGE...]\n"
    "Looks into the image set in DIR.\n"
    "\n"
    "  show      the tree of tasks, their memory and files, and where the set comes from\n"
    "  verify    compare every file with the set's manifest, and the same for its parents; exit with 0 or 1\n"
    "  dedup     free the pages in the parents of the set that the set has anew\n"
    "  decode    images as JSON, one object per line; all that have entries when none is named\n"
    "\n"
    "  --json       one JSON object on stdout (decode: always one for each image)\n"
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
      // Where every page of a pagemap is.
      if (level > 0 || !name.starts_with("pagemap-")) continue;
      const bool object = name.starts_with("pagemap-shmem-");
      const uint64_t id = std::strtoull(name.c_str() + (object ? 14 : 8), nullptr, 10);
      static_cast<void>(set.pages({object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, id}));
    }
    if (set.manifest() == nullptr) std::fprintf(stderr, "crx-image: %s was made by CRIU and has no digests\n", at.c_str());
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

int run(const std::vector<std::string>& arguments) {
  bool json = false;
  std::string level = "warn";
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
    if (word == "--version") return std::printf("%s\n", version_text("crx-image").c_str()) < 0 ? 1 : 0;
    if (word == "--json") {
      json = true;
    } else if (word == "--log-level" && i + 1 < arguments.size()) {
      level = arguments[++i];
    } else if (word.starts_with("-")) {
      return wrong("'" + word + "' is no option, or lacks its value");
    } else {
      words.push_back(word);
    }
  }
  if (level != "error" && level != "warn" && level != "info" && level != "debug") return wrong("'" + level + "' is no level");
  log::setup(log::parse_level(level), "image");
  if (words.empty()) return wrong("show, verify, dedup or decode is required");
  const std::string& verb = words[0];
  if (verb != "show" && verb != "verify" && verb != "dedup" && verb != "decode") return wrong("'" + verb + "' is no verb");
  if (words.size() < 2) return wrong("DIR is required: the image set");
  if (words.size() > 2 && verb != "decode") return wrong("one DIR is enough");
  try {
    if (verb == "show") std::fputs((json ? show_set_json : show_set)(ImageSet::open(words[1])).c_str(), stdout);
    if (verb == "verify") verify(words[1], json);
    if (verb == "dedup") dedup(words[1], json);
    if (verb == "decode") decode(words[1], {words.begin() + 2, words.end()});
  } catch (const Error& error) {
    if (json) std::printf("%s\n", failed_line(error).c_str());
    throw;
  }
  return 0;
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  try {
    return crx::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-image: %s\n", error.what());
    return 1;
  }
}
