#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "common/base/fd.hpp"
#include "common/remote/arena.hpp"
#include "common/remote/batch.hpp"

using namespace crx;

namespace {

constexpr std::size_t kScratch = 4096;

Fd object_of(std::size_t bytes) {
  Fd object(::memfd_create("crx-test", MFD_CLOEXEC));
  REQUIRE(object);
  REQUIRE(::ftruncate(object.get(), static_cast<off_t>(bytes)) == 0);
  return object;
}

}  // namespace

TEST_CASE("scratch of an arena is free again at the end of its scope, and what was there before stays") {
  const std::size_t code_bytes = RemoteArena::code_bytes(1), data_bytes = RemoteArena::data_bytes(1, kScratch);
  RemoteArena arena(object_of(code_bytes), object_of(data_bytes), data_bytes, 0x10000, 0x20000, 1);
  const std::size_t all = arena.available();
  {
    const ArenaScope outer(arena);
    const auto kept = arena.allocate<uint64_t>();
    *kept.local = 7;
    for (int turn = 0; turn < 100; ++turn) {  // more than there would be room for
      const ArenaScope inner(arena);
      RemoteBatch batch(arena, 1);
      batch.add("asking for the pid", 39, arena.put_string("some text"));
      CHECK(arena.allocate<std::byte>(kScratch / 2).remote.addr() > kept.remote.addr());
    }
    CHECK(*kept.local == 7);
    CHECK(arena.put_object(uint64_t{8}) == kept.at(1));
  }
  CHECK(arena.available() == all);
}
