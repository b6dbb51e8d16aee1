#include "common/proc/maps.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx::proc {

TEST_CASE("maps: a mapped file") {
  const MapsEntry e = parse_maps_line(
      "7f35ed044000-7f35ed19a000 r-xp 00026000 fe:1a 332835                     "
      "/usr/lib/x86_64-linux-gnu/libc.so.6");
  CHECK(e.start == 0x7f35ed044000);
  CHECK(e.end == 0x7f35ed19a000);
  CHECK(e.prot() == (PROT_READ | PROT_EXEC));
  CHECK_FALSE(e.shared);
  CHECK(e.pgoff == 0x26000);
  CHECK(e.dev_major == 0xfe);
  CHECK(e.dev_minor == 0x1a);
  CHECK(e.inode == 332835);
  CHECK(e.kind == MapKind::file);
  CHECK(e.name == "/usr/lib/x86_64-linux-gnu/libc.so.6");
  CHECK_FALSE(e.deleted);
}

TEST_CASE("maps: names and kinds") {
  const auto entry = [](const char* mode_to_inode, const char* name) {
    return parse_maps_line(std::string("1000-2000 ") + mode_to_inode + "                    " + name);
  };
  CHECK(entry("rw-p 00000000 00:00 0", "").kind == MapKind::anonymous);
  CHECK(entry("rw-p 00000000 00:00 0", "[heap]").kind == MapKind::heap);
  CHECK(entry("rw-p 00000000 00:00 0", "[stack]").kind == MapKind::stack);
  CHECK(entry("r--p 00000000 00:00 0", "[vvar]").kind == MapKind::vvar);
  CHECK(entry("r--p 00000000 00:00 0", "[vvar_vclock]").kind == MapKind::vvar_vclock);
  CHECK(entry("r-xp 00000000 00:00 0", "[vdso]").kind == MapKind::vdso);
  CHECK(entry("--xp 00000000 00:00 0", "[vsyscall]").kind == MapKind::vsyscall);
  CHECK(entry("--xp 00000000 00:00 0", "[uprobes]").kind == MapKind::other);
  const MapsEntry named = entry("rw-p 00000000 00:00 0", "[anon:my [x] name]");
  CHECK(named.kind == MapKind::anonymous);
  CHECK(named.name == "my [x] name");
  const MapsEntry shared = entry("rw-s 00000000 00:01 1028", "/dev/zero (deleted)");
  CHECK(shared.kind == MapKind::shared_anonymous);
  CHECK(shared.inode == 1028);
  CHECK(entry("rw-s 00000000 00:01 1028", "[anon_shmem:a b]").kind == MapKind::shared_anonymous);
  CHECK(entry("rw-s 00000000 00:01 1028", "[anon_shmem:a b]").name == "a b");
  const MapsEntry memfd = entry("rw-s 00000000 00:01 5", "/memfd:x y (deleted)");
  CHECK(memfd.kind == MapKind::memfd);
  CHECK(memfd.name == "x y");
  CHECK(entry("rw-s 00000000 00:01 5", "/SYSV0000162e (deleted)").kind == MapKind::sysv_shm);
  CHECK(entry("rw-s 00000000 00:10 5", "anon_inode:[io_uring]").kind == MapKind::anon_inode);
  CHECK(entry("rw-s 00000000 00:0f 5", "/[aio] (deleted)").kind == MapKind::aio_ring);
}

TEST_CASE("maps: deleted files and names that look like it") {
  const MapsEntry e =
      parse_maps_line("7f35ecc60000-7f35ecc61000 rw-s 00000000 fe:00 10952873   /tmp/new\\012line (deleted) (deleted)");
  CHECK(e.name == "/tmp/new\nline (deleted)");
  CHECK(e.deleted);
  CHECK(parse_maps_line("1000-2000 r--p 00000000 fe:00 7 /tmp/a\\040b").name == "/tmp/a\\040b");
  CHECK(parse_maps_line("1000-2000 r--p 00000000 fe:00 7 /memfd:x (deleted)").kind == MapKind::file);
}

TEST_CASE("maps: malformed lines are named") {
  for (const char* line :
       {"", "x", "1000", "1000-", "2000-1000 rw-p 00000000 00:00 0", "1000-2000 rwzp 00000000 00:00 0",
        "1000-2000 rw-p 00000000 00:00", "1000-2000 rw-p", "11112222333344445-2 rw-p 0 0:0 0"}) {
    CAPTURE(line);
    CHECK_THROWS_AS(parse_maps_line(line), Error);
  }
  CHECK_THROWS_WITH_AS(parse_maps("2000-3000 rw-p 00000000 00:00 0\n1000-2000 rw-p 00000000 00:00 0\n"),
                       doctest::Contains("do not ascend"), Error);
}

TEST_CASE("maps: in a torn list the later entries count") {
  const auto entries = parse_torn_maps(
      "1000-3000 r--p 00000000 00:00 0\n3000-9000 rw-p 00000000 00:00 0\n9000-a000 rw-p 00000000 00:00 0\n"
      "5000-b000 rw-p 00000000 00:00 0\nb000-c000 r--p 00000000 00:00 0\n");
  REQUIRE(entries.size() == 4);
  CHECK(entries[1].start == 0x3000);
  CHECK(entries[1].end == 0x5000);
  CHECK(entries[2].start == 0x5000);
  CHECK(entries[2].end == 0xb000);
  CHECK(entries[3].end == 0xc000);
}

TEST_CASE("maps: our own") {
  const auto entries = parse_maps(read_file("/proc/self/maps"));
  CHECK(entries.size() > 10);
  int stack = 0;
  for (const MapsEntry& e : entries) {
    if (e.kind == MapKind::stack) stack += e.contains(reinterpret_cast<uint64_t>(&stack)) ? 1 : 0;
  }
  CHECK(stack == 1);
}

}  // namespace crx::proc
