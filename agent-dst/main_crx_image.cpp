// crx-image: shows, checks, lists and removes image sets, and frees pages that later sets have replaced.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
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
#include "common/image/dedup/dedup.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"
#include "common/image/set_check.hpp"
#include "common/image/set_name.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/sanitize_startup_state.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/signature/trusted_signers.hpp"

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
    "  --require-signature  verify: the set and its parents must be signed by hosts of the authority; prints their "
    "names\n"
    "  --tls-dir DIR        for that: holds ca.pem; default $CRX_TLS_DIR, then /etc/crx/tls\n"
    "  --tls-cacrl FILE     for that: the list of revoked certificates; default crl.pem in that directory, if it is "
    "there\n"
    "  --json       print one JSON object (decode: always one for each image)\n"
    "  --log-level error|warn|info|debug  default warn\n"
    "  -h,--help, --version\n"
    "\n"
    "Exit status: 0 done; 1 the set is damaged, or the work failed; 2 wrong usage\n";

// The command line.
struct Arguments {
  bool json = false, require_signature = false;
  std::string level = "warn", store, name, tls_dir, tls_crl;
  std::vector<std::string> words;
};

// signers: of the set and its parents; empty if signatures are not asked for.
void print_verified(const Arguments& arguments, const std::string& path, std::size_t levels,
                    const std::vector<std::string>& signers) {
  if (arguments.json) {
    nlohmann::ordered_json line = {{"event", "verified"}, {"sets", levels}};
    if (arguments.require_signature) line["signers"] = signers;
    std::printf("%s\n", line.dump().c_str());
    return;
  }
  std::printf("%s: %zu set%s, all files are as written\n", path.c_str(), levels, levels == 1 ? "" : "s");
  std::string at = path;
  for (const std::string& signer : signers) {
    std::printf("%s is signed by %s\n", at.c_str(), signer.c_str());
    at += "/parent";
  }
}

void verify(const std::string& path, const Arguments& arguments) {
  std::optional<wire::TrustedSigners> trusted;
  if (arguments.require_signature) trusted.emplace(wire::tls_dir_or_default(arguments.tls_dir), arguments.tls_crl);
  const SignatureCheck* check = trusted ? &*trusted : nullptr;
  std::string at = path;
  const std::size_t levels = ImageSet::open(path, check).levels();
  std::vector<std::string> signers;
  for (std::size_t level = 0; level < levels; ++level, at += "/parent") {
    const ImageSet set = ImageSet::open(at, check);
    set.verify_pages();
    // Checks that every page of a pagemap can be found.
    for (const PageSpace space : level == 0 ? set.spaces() : std::vector<PageSpace>())
      static_cast<void>(set.pages(space));
    if (set.manifest() == nullptr)
      std::fprintf(stderr, "crx-image: %s was made by CRIU and has no digests\n", at.c_str());
    if (check != nullptr) {
      signers.push_back(set.signer(0));
    } else if (set.images().contains(image_file::kCrxSignature)) {
      std::fprintf(stderr, "crx-image: %s has a signature, which --require-signature checks\n", at.c_str());
    }
  }
  print_verified(arguments, path, levels, signers);
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
      if (!name.starts_with("pages-") && name != image_file::kCrxSignature) names.push_back(name);
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

// Reads the options; returns what is wrong with them.
std::optional<std::string> read_options(const std::vector<std::string>& all, Arguments& arguments) {
  const std::map<std::string_view, std::string*> values = {{"--log-level", &arguments.level},
                                                           {"--store", &arguments.store},
                                                           {"--name", &arguments.name},
                                                           {"--tls-dir", &arguments.tls_dir},
                                                           {"--tls-cacrl", &arguments.tls_crl}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string& word = all[i];
    const auto value = values.find(word);
    if (value != values.end() && i + 1 < all.size()) {
      *value->second = all[++i];
    } else if (word == "--json") {
      arguments.json = true;
    } else if (word == "--require-signature") {
      arguments.require_signature = true;
    } else if (word.starts_with("-")) {
      return "'" + word + "' is not an option, or its value is missing";
    } else {
      arguments.words.push_back(word);
    }
  }
  const std::string& level = arguments.level;
  if (level != "error" && level != "warn" && level != "info" && level != "debug")
    return "'" + level + "' is not a log level";
  return std::nullopt;
}

// Checks the verb and what it takes, and puts the folder of a set of the store where DIR stands; returns what is wrong.
std::optional<std::string> read_words(Arguments& arguments) {
  std::vector<std::string>& words = arguments.words;
  if (words.empty()) return "a verb is required: show, verify, dedup, decode, list or remove";
  const std::string verb = words[0];
  if (!is_verb(verb)) return "'" + verb + "' is not a verb";
  const bool keeps = verb == "list" || verb == "remove";
  const std::string& name = arguments.name;
  if (arguments.require_signature && verb != "verify") return "--require-signature is for verify";
  if (!arguments.require_signature && !(arguments.tls_dir + arguments.tls_crl).empty())
    return "--tls-dir and --tls-cacrl are for --require-signature";
  if (!arguments.store.empty() && name.empty() && verb != "list") return "--store needs --name";
  if (arguments.store.empty()) arguments.store = kDefaultStore;
  if (!name.empty() && !valid_set_name(name)) return "'" + name + "' is not the name of a set";
  if (verb == "list" && !name.empty()) return "list shows all sets, so it does not take --name";
  if (verb == "remove" && name.empty()) return "--name is required: the set";
  if (!keeps && !name.empty()) words.insert(words.begin() + 1, arguments.store + "/" + name);
  if (!keeps && words.size() < 2) return "DIR is required: the image set";
  if (words.size() > (keeps ? 1 : 2) && verb != "decode") return "'" + words.back() + "' is an unexpected argument";
  return std::nullopt;
}

int run(const std::vector<std::string>& all) {
  for (const std::string& word : all) {
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
    if (word == "--version") return std::printf("%s\n", version_text("crx-image").c_str()) < 0 ? 1 : 0;
  }
  Arguments arguments;
  if (const auto fault = read_options(all, arguments)) return wrong(*fault);
  log::setup(log::parse_level(arguments.level), "image");
  if (const auto fault = read_words(arguments)) return wrong(*fault);
  const bool json = arguments.json;
  const std::vector<std::string>& words = arguments.words;
  const std::string& verb = words[0];
  try {
    if (verb == "show") std::fputs((json ? show_set_json : show_set)(ImageSet::open(words[1])).c_str(), stdout);
    if (verb == "verify") verify(words[1], arguments);
    if (verb == "dedup") dedup(words[1], json);
    if (verb == "decode") decode(words[1], {words.begin() + 2, words.end()});
    if (verb == "list") list(arguments.store, json);
    if (verb == "remove") remove(arguments.store, arguments.name, json);
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
