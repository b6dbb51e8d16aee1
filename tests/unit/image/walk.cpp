// Images that are read and written again: what crx writes stays as it is, and nothing else comes through.
#include <doctest/doctest.h>

#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/kinds/image_walk.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/ipc.pb.h"
#include "common/image/schema/pipes.pb.h"
#include "common/image/schema/regular.pb.h"

using namespace crx;

namespace {

std::string image_of(const ImageStore& store, const std::string& name) {
  return std::string(store.load(name));
}

std::span<const std::byte> data_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

img::pstree_entry walked_task(uint32_t pid) {
  img::pstree_entry entry;
  entry.set_pid(pid);
  entry.set_ppid(0);
  entry.set_pgid(pid);
  entry.set_sid(pid);
  entry.add_threads(pid);
  return entry;
}

void fill_ipc(img::ipc_desc_entry& entry) {
  entry.set_key(1);
  entry.set_uid(2);
  entry.set_gid(3);
  entry.set_cuid(4);
  entry.set_cgid(5);
  entry.set_mode(6);
  entry.set_id(7);
}

}  // namespace

TEST_CASE("images that crx writes stay as they are") {
  ImageStore store;
  std::string name;
  SUBCASE("entries") {
    name = "pstree.img";
    store.append(name, walked_task(1));
    store.append(name, walked_task(2));
  }
  SUBCASE("none") {
    name = "files.img";
    store.create(name);
  }
  SUBCASE("data after each entry") {
    name = "pipes-data.img";
    for (const std::string text : {"abc", "", "some more"}) {
      img::pipe_data_entry pipe;
      pipe.set_pipe_id(1);
      pipe.set_bytes(static_cast<uint32_t>(text.size()));
      store.append(name, pipe);
      store.append_raw(name, data_of(text));
    }
  }
  SUBCASE("data up to the end") {
    name = "ghost-file-1.img";
    img::ghost_file_entry ghost;
    ghost.set_uid(1);
    ghost.set_gid(2);
    ghost.set_mode(0100644);
    store.append(name, ghost);
    store.append_raw(name, data_of(std::string(100'000, 'x')));
  }
  SUBCASE("data with padding") {
    name = "ipcns-sem-1.img";
    for (const uint32_t count : {1U, 4U, 5U}) {
      img::ipc_sem_entry set;
      fill_ipc(*set.mutable_desc());
      set.set_nsems(count);
      store.append(name, set);
      store.append_padded(name, data_of(std::string(2 * count, 's')), 8);
    }
  }
  SUBCASE("entries within an entry") {
    name = "ipcns-msg-1.img";
    img::ipc_msg_entry queue;
    fill_ipc(*queue.mutable_desc());
    queue.set_qbytes(100);
    queue.set_qnum(2);
    store.append(name, queue);
    for (const std::string text : {"first", "the second"}) {
      img::ipc_msg message;
      message.set_mtype(1);
      message.set_msize(static_cast<uint32_t>(text.size()));
      store.append(name, message);
      store.append_padded(name, data_of(text), 8);
    }
    store.append(name, queue);
    for (int i = 0; i < 2; ++i) {
      img::ipc_msg message;
      message.set_mtype(2);
      message.set_msize(0);
      store.append(name, message);
    }
  }
  CHECK(rewritten_image(name, store.load(name)) == image_of(store, name));
}

TEST_CASE("what is no image of crx does not come through") {
  ImageStore store;
  store.append("pstree.img", walked_task(1));
  const std::string good = image_of(store, "pstree.img");
  SUBCASE("fields that crx does not know are left out") {
    std::string more = good + std::string("\xa2\x06\x03xyz", 6);  // field 100: "xyz"
    more[8] = static_cast<char>(more[8] + 6);                     // the size of the entry
    CHECK(rewritten_image("pstree.img", more) == good);
  }
  SUBCASE("damage is an error") {
    for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
      if (bytes == 8) continue;  // an image without entries
      CHECK_THROWS_AS(rewritten_image("pstree.img", good.substr(0, bytes)), Error);
    }
    CHECK_THROWS_AS(rewritten_image("pstree.img", good + "x"), Error);
    CHECK_THROWS_AS(rewritten_image("files.img", good), Error);
  }
  SUBCASE("names of nothing are an error") {
    CHECK_THROWS_AS(rewritten_image("pages-1.img", good), Error);
    CHECK_THROWS_AS(rewritten_image("../pstree.img", good), Error);
    CHECK_THROWS_AS(rewritten_image("nothing.img", good), Error);
  }
}
