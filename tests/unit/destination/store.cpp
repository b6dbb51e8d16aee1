// A source can make an agent write only a complete set with a valid name.
#include <doctest/doctest.h>

#include <deque>
#include <filesystem>
#include <set>
#include <string>
#include <variant>

#include "agent-dst/image_store/set_store.hpp"
#include "agent-dst/image_store/store_session.hpp"
#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "tests/unit/certificates.hpp"
#include "wire/signature/set_signer.hpp"
#include "wire/signature/trusted_signers.hpp"

namespace crx {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string name = fs::temp_directory_path() / "crx-store-XXXXXX";
    path = ::mkdtemp(name.data());
    fs::create_directory(path + "/store");
  }
  ~Folder() { fs::remove_all(path); }
  std::string store() const { return path + "/store"; }
  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(store())) all.insert(entry.path().filename());
    return all;
  }
  std::string path;
};

// Plays back the messages that a source has sent.
class StoreScript final : public wire::DestinationLink {
 public:
  void send(const wire::SessionMessage& message) override { sent.push_back(message); }
  std::optional<wire::LinkEvent> receive(Deadline) override {
    if (events.empty()) return wire::LinkClosed{"the script is over"};
    wire::LinkEvent next = std::move(events.front());
    events.pop_front();
    return next;
  }
  void release(uint32_t) override {}

  std::deque<wire::LinkEvent> events;
  std::vector<wire::SessionMessage> sent;
};

class Source {
 public:
  explicit Source(std::string name = "set", std::string prev = {}) {
    hello.mutable_store()->set_name(std::move(name));
    hello.mutable_store()->set_prev_set(std::move(prev));
  }
  void image(const std::string& name, std::string bytes) {
    wire::SessionMessage message;
    wire::ImageFile& file = *message.mutable_images()->add_files();
    file.set_name(name);
    file.set_content(std::move(bytes));
    link.events.emplace_back(std::move(message));
  }
  void inventory() {
    ImageStore images;
    img::inventory_entry entry;
    entry.set_img_version(kImageVersion);
    images.append(image_file::kInventory, entry);
    image(std::string(image_file::kInventory), std::string(images.load(image_file::kInventory)));
  }
  void pages(std::vector<PageRange> ranges, std::vector<PageRange> zeros = {}, std::size_t missing = 0) {
    wire::PagesArrived arrived;
    arrived.space = {PageSpace::Kind::mm, 12};
    arrived.ranges = std::move(ranges);
    arrived.zero_ranges = std::move(zeros);
    arrived.bytes = std::span(room).first(total_pages(arrived.ranges) * kPageSize - missing);
    link.events.emplace_back(std::move(arrived));
  }
  wire::StoreSet& end() {
    wire::SessionMessage message;
    message.mutable_store_set()->set_manifest(
        Manifest::begin(img::crx_manifest_entry::DUMP).head().SerializeAsString());
    link.events.emplace_back(std::move(message));
    return *std::get<wire::SessionMessage>(link.events.back()).mutable_store_set();
  }
  int run(const Folder& folder, uint64_t max_memory = 0) {
    EngineOptions options;
    options.session = "0123456789abcdef0123456789abcdef";
    options.store = folder.store();
    options.policy.max_memory = max_memory;
    options.tls_dir = tls_dir;
    options.require_signature = require_signature;
    return StoreSession(link, options, hello).run();
  }

  wire::Hello hello;
  StoreScript link;
  std::string tls_dir;
  bool require_signature = false;
  std::vector<std::byte> room = std::vector<std::byte>(wire::kBatchBytes, std::byte{7});
};

void refused(Source& source, uint64_t max_memory = 0) {
  const Folder folder;
  CHECK(source.run(folder, max_memory) == 1);
  REQUIRE_FALSE(source.link.sent.empty());
  CHECK(source.link.sent.back().has_failure());
  CHECK(folder.names().empty());
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("a set is stored") {
  const Folder folder;
  Source source;
  source.pages({{0x1000, 0x3000}, {0x5000, 0x6000}}, {{0x3000, 0x4000}});
  source.pages({}, {{0x8000, 0x9000}});
  source.inventory();
  source.end();
  CHECK(source.run(folder) == 0);
  CHECK(source.link.sent.back().has_stored());
  CHECK(folder.names() == std::set<std::string>{"set"});
  const ImageSet set = ImageSet::open(folder.store() + "/set");
  set.verify_pages();
  std::vector<PageRange> pages;
  std::vector<std::byte> page(kPageSize);
  for (const PagePiece& piece : set.pages({PageSpace::Kind::mm, 12})) {
    append_range(pages, piece.range);
    for (uint64_t at = piece.range.start; at < piece.range.end; at += kPageSize) {
      set.read(piece, {at, at + kPageSize}, page);
      CHECK(page[5] == (at == 0x3000 || at == 0x8000 ? std::byte{0} : std::byte{7}));
    }
  }
  CHECK(pages == std::vector<PageRange>{{0x1000, 0x4000}, {0x5000, 0x6000}, {0x8000, 0x9000}});
  // Not a second time.
  Source second;
  second.inventory();
  second.end();
  CHECK(second.run(folder) == 1);
  CHECK(folder.names() == std::set<std::string>{"set"});
}

TEST_CASE("names that lead elsewhere are refused") {
  for (const char* name : {"", ".", "..", "../set", "/tmp/set", "a/b", ".hidden", "journal"}) {
    Source source(name);
    source.inventory();
    source.end();
    refused(source);
    Source continued("set", *name == 0 ? "a/../b" : name);
    continued.inventory();
    continued.end();
    refused(continued);
  }
}

TEST_CASE("images with unknown names are refused") {
  for (const char* name : {"../../etc/passwd", "/etc/passwd", "pages-1.img", "pagemap-1.img", "crx-integrity.img",
                           "x.img", "", ".img", "core-1.img/../../x.img", "parent"}) {
    Source source;
    source.image(name, "text");
    source.inventory();
    source.end();
    refused(source);
  }
  Source twice;
  twice.inventory();
  twice.inventory();
  twice.end();
  refused(twice);
}

TEST_CASE("pages that are not in order are refused") {
  Source back;
  back.pages({{0x5000, 0x6000}});
  back.pages({{0x4000, 0x5000}});
  back.end();
  refused(back);
  Source again;
  again.pages({{0x5000, 0x6000}});
  again.pages({}, {{0x5000, 0x6000}});
  again.end();
  refused(again);
  Source fewer;
  fewer.pages({{0x5000, 0x7000}}, {}, kPageSize);
  fewer.end();
  refused(fewer);
}

TEST_CASE("a set may be as large as the agent allows") {
  Source source;
  for (uint64_t at = 0; at < 8; ++at) source.pages({{at << 20, (at + 1) << 20}});
  source.inventory();
  source.end();
  refused(source, uint64_t{4} << 20);
}

TEST_CASE("a folder that is no set is refused") {
  Source headless;
  headless.end();
  refused(headless);  // it has no inventory
  Source malformed;
  malformed.inventory();
  malformed.end().set_manifest("text");
  refused(malformed);
  Source orphan;
  orphan.inventory();
  Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
  manifest.head().set_parent_id(std::string(16, 'x'));
  orphan.end().set_manifest(manifest.head().SerializeAsString());
  refused(orphan);
  Source lost;
  lost.inventory();
  wire::StoredPages& left = *lost.end().add_in_parent();
  left.set_space_kind(1);
  left.set_space(12);
  left.add_ranges()->set_start(0x1000);
  left.mutable_ranges(0)->set_end(0x2000);
  refused(lost);  // no set has these pages
  Source ranges;
  ranges.inventory();
  wire::StoredPages& bad = *ranges.end().add_in_parent();
  bad.set_space_kind(1);
  bad.add_ranges()->set_start(0x1001);
  bad.mutable_ranges(0)->set_end(0x2000);
  refused(ranges);
  Source kind;
  kind.inventory();
  kind.end().add_in_parent()->set_space_kind(9);
  refused(kind);
}

TEST_CASE("a source that goes away leaves nothing") {
  const Folder folder;
  Source source;
  source.pages({{0x1000, 0x2000}});
  source.inventory();
  CHECK(source.run(folder) == 1);
  CHECK(folder.names().empty());
}

TEST_CASE("unfinished sets of an agent are removed by the next one") {
  const Folder folder;
  fs::create_directories(folder.store() + "/.staging-x/deep");
  fs::create_directory(folder.store() + "/set");
  fs::create_directory_symlink("/tmp", folder.store() + "/.staging-x/link");
  remove_staged(folder.store());
  CHECK(folder.names() == std::set<std::string>{"set"});
  CHECK(fs::exists("/tmp"));
}

// A set of one page and an inventory, which the agent should store as it is: with the manifest and signature of a host.
class SignedSource : public Source {
 public:
  SignedSource(const test::TempDir& keys, const std::string& signing) : Source("set") {
    tls_dir = keys.path() + "/agent";
    hello.mutable_store()->set_with_signature(true);
    const Folder own;
    const wire::SetSigner signer(keys.path() + "/" + signing);
    DirectorySink sink(own.path + "/own");
    sink.set_seal([&](const Manifest& manifest) {
      bytes = manifest.bytes();
      return DirectorySink::Sealed{bytes, signature = signer.sign(bytes)};
    });
    Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
    head = manifest.head().SerializeAsString();
    img::inventory_entry entry;
    entry.set_img_version(kImageVersion);
    sink.append(image_file::kInventory, entry);
    PageWriter writer(sink, {PageSpace::Kind::mm, 12}, 1);
    writer.add({{0x1000, 0x2000}}, std::span(room).first(kPageSize));
    writer.finish(sink, {});
    sink.set_manifest(std::move(manifest));
    sink.commit();
  }
  void send() {
    pages({{0x1000, 0x2000}});
    inventory();
    end();
  }
  void end() {
    wire::StoreSet& set = Source::end();
    set.set_manifest(head);
    set.set_signed_manifest(bytes);
    set.set_signature(signature);
  }
  std::string head, bytes, signature;
};

struct Keys {
  Keys() {
    for (const char* name : {"agent", "source"}) ca.issue(dir.path() + "/" + name, name, std::string("DNS:") + name);
    test::TestCa("another CA").issue(dir.path() + "/stranger", "stranger", "DNS:stranger");
  }
  test::TempDir dir;
  test::TestCa ca;
};

void refused_for(Source& source, const std::string& why) {
  refused(source);
  CHECK_MESSAGE(source.link.sent.back().failure().DebugString().find(why) != std::string::npos,
                source.link.sent.back().failure().DebugString());
}

TEST_CASE("a signed set is stored as it was signed") {
  const Keys keys;
  const Folder folder;
  SignedSource source(keys.dir, "source");
  source.send();
  CHECK(source.run(folder) == 0);
  CHECK(source.link.sent.at(1).store_ready().with_signature());
  const wire::TrustedSigners trusted(keys.dir.path() + "/agent");
  const ImageSet set = ImageSet::open(folder.store() + "/set", &trusted);
  CHECK(set.signer(0) == "source");
  CHECK(set.images().load(image_file::kCrxIntegrity) == source.bytes);
  set.verify_pages();
}

TEST_CASE("a signature of something else is refused, and nothing is stored") {
  const Keys keys;
  {
    SignedSource source(keys.dir, "stranger");
    source.send();
    refused_for(source, "stranger signed it, whose certificate is not from");
  }
  {
    SignedSource source(keys.dir, "source");
    std::fill(source.room.begin(), source.room.end(), std::byte{8});
    source.send();
    refused_for(source, "the source signed pages-1.img differently from what it sent");
  }
  {
    SignedSource source(keys.dir, "source");
    source.pages({{0x1000, 0x2000}});
    source.end();
    refused_for(source, "for files that did not come");
  }
  {
    SignedSource source(keys.dir, "source");
    source.image("crx-ipc.img", std::string(8, 'x'));
    source.send();
    refused_for(source, "the source signed crx-ipc.img differently from what it sent");
  }
  {
    SignedSource source(keys.dir, "source");
    source.head = Manifest::begin(img::crx_manifest_entry::DUMP).head().SerializeAsString();
    source.send();
    refused_for(source, "a signature of another manifest");
  }
  {
    SignedSource source(keys.dir, "source");
    source.signature = SignedSource(keys.dir, "source").signature;
    source.send();
    refused_for(source, "it is not a signature of this set");
  }
}

TEST_CASE("an agent may demand signatures") {
  Source source;
  source.require_signature = true;
  source.inventory();
  source.end();
  refused_for(source, "the agent stores signed sets only (--require-signature)");
}

TEST_CASE("a signed set continues only signed sets") {
  const Keys keys;
  const Folder folder;
  Source first("first");
  first.inventory();
  first.end();
  CHECK(first.run(folder) == 0);
  SignedSource second(keys.dir, "source");
  second.hello.mutable_store()->set_prev_set("first");
  second.send();
  CHECK(second.run(folder) == 1);
  CHECK(second.link.sent.back().failure().DebugString().find("the set is not signed") != std::string::npos);
  CHECK(folder.names() == std::set<std::string>{"first"});
}

}  // namespace
}  // namespace crx
