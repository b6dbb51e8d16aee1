// Policy as a value: what each rule allows, and the accounts that memory is compared with.
#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/mman.h>

#include "agent-dst/migrate/present_pages.hpp"
#include "agent-dst/policy/policy.hpp"
#include "common/base/error.hpp"
#include "common/image/claimed_memory.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr uint64_t kChown = 1, kNetRaw = 1 << 13, kSetpcap = 1 << 8;

TaskCredentials user(uint32_t id) {
  TaskCredentials credentials;
  credentials.uids.fill(id);
  credentials.gids.fill(id);
  credentials.bounding = (uint64_t{1} << 41) - 1;
  return credentials;
}

std::string first(const Policy& policy, const TaskCredentials& credentials) {
  const auto found = policy.breaches(credentials);
  return found.empty() ? "" : found[0].object + " " + found[0].reason + "; " + found[0].remedy;
}

Policy users_from_1000() {
  Policy policy;
  policy.uids = {{1000, 1999}};
  return policy;
}

img::vma_entry* add_vma(img::mm_entry& mm, uint64_t start, uint64_t bytes, uint32_t prot, uint32_t flags,
                        uint32_t status, uint64_t shmid = 0) {
  img::vma_entry* vma = mm.add_vmas();
  vma->set_start(start);
  vma->set_end(start + bytes);
  vma->set_prot(prot);
  vma->set_flags(flags);
  vma->set_status(status);
  vma->set_shmid(shmid);
  vma->set_pgoff(0);
  return vma;
}

}  // namespace

TEST_CASE("policy: by default everything is allowed but the id that means none") {
  TaskCredentials root;
  root.permitted = root.effective = root.bounding = kAllCapabilities;
  root.securebits = 0x2f;
  CHECK(Policy().breaches(root).empty());
  TaskCredentials none = user(1000);
  none.uids[2] = UINT32_MAX;
  CHECK(first(Policy(), none).starts_with("uid 4294967295 is not allowed here"));
}

TEST_CASE("policy: each of the four uids must be allowed, and without uid 0 no capability is") {
  const Policy policy = users_from_1000();
  CHECK(policy.breaches(user(1000)).empty());
  CHECK(policy.breaches(user(1999)).empty());
  CHECK(first(policy, user(2000)) == "uid 2000 is not allowed here; see --allow-uid of crx-agent");
  for (std::size_t which = 0; which < 4; ++which) {
    TaskCredentials credentials = user(1000);
    credentials.uids[which] = 0;
    CHECK(first(policy, credentials) == "uid 0 is not allowed here; see --allow-uid of crx-agent");
  }
  for (uint64_t TaskCredentials::*set : {&TaskCredentials::inheritable, &TaskCredentials::permitted,
                                         &TaskCredentials::effective, &TaskCredentials::ambient}) {
    TaskCredentials credentials = user(1000);
    credentials.*set = kNetRaw;
    CHECK(first(policy, credentials) == "CAP_NET_RAW is not allowed here; see --allow-capabilities of crx-agent");
    Policy wider = policy;
    wider.capabilities = kNetRaw;
    CHECK(wider.breaches(credentials).empty());
  }
}

TEST_CASE("policy: every group must be allowed") {
  Policy policy;
  policy.gids = {{1000, 1999}, {5, 5}};
  TaskCredentials credentials = user(1000);
  credentials.groups = {5, 1001};
  CHECK(policy.breaches(credentials).empty());
  credentials.groups.push_back(6);
  CHECK(first(policy, credentials) == "gid 6 is not allowed here; see --allow-gid of crx-agent");
  for (std::size_t which = 0; which < 4; ++which) {
    credentials = user(1000);
    credentials.gids[which] = 0;
    CHECK(first(policy, credentials) == "gid 0 is not allowed here; see --allow-gid of crx-agent");
  }
}

TEST_CASE("policy: root may not reach more by executing a program, and securebits need CAP_SETPCAP") {
  Policy policy;
  policy.capabilities = kChown;
  TaskCredentials root = user(0);
  CHECK(policy.breaches(root).size() == 1);
  root.bounding = kChown;
  CHECK(policy.breaches(root).empty());
  TaskCredentials bits = user(1000);
  bits.securebits = 0x10;  // SECBIT_KEEP_CAPS
  CHECK(policy.breaches(bits).empty());
  bits.securebits = 0x4;  // SECBIT_NO_SETUID_FIXUP
  CHECK(first(policy, bits) ==
        "securebits 0x4 need CAP_SETPCAP, which is not allowed here; see --allow-capabilities of crx-agent");
  policy.capabilities = kSetpcap;
  CHECK(policy.breaches(bits).empty());
}

TEST_CASE("policy: limits") {
  Policy policy;
  CHECK_NOTHROW(policy.check_memory(UINT64_MAX));
  CHECK_NOTHROW(policy.check_tasks(UINT64_MAX));
  CHECK_THROWS_AS(policy.check_images(Policy::kMostImageBytes + 1), Error);
  CHECK_THROWS_AS(policy.check_descriptors(Policy::kMostDescriptors + 1), Error);
  policy.max_memory = 64 << 20;
  policy.max_tasks = 3;
  CHECK_NOTHROW(policy.check_memory(64 << 20));
  CHECK_THROWS_WITH_AS(policy.check_memory((64 << 20) + 1),
                       doctest::Contains("memory: 65 MiB are more than a session may have here"), Error);
  CHECK_THROWS_WITH_AS(policy.check_tasks(4), doctest::Contains("4 tasks are more than a session may have here"),
                       Error);
  CHECK_THROWS_WITH_AS(policy.check_images(65 << 20),
                       doctest::Contains("65 MiB of images are more than a session may have here"), Error);
  policy.max_image_memory = 128 << 20;
  CHECK_NOTHROW(policy.check_images(128 << 20));
}

TEST_CASE("policy: capabilities as text") {
  CHECK(parse_capabilities("all") == kAllCapabilities);
  CHECK(parse_capabilities("none") == 0);
  CHECK(parse_capabilities("chown,CAP_NET_RAW,Cap_SetPCap") == (kChown | kNetRaw | kSetpcap));
  for (const char* wrong : {"", "chown,", ",", "root", "cap_", "chown net_raw"}) CHECK_FALSE(parse_capabilities(wrong));
  CHECK(capability_names(kChown | uint64_t{1} << 40 | uint64_t{1} << 63) ==
        "CAP_CHOWN, CAP_CHECKPOINT_RESTORE, capability 63");
}

TEST_CASE("claimed memory: what can be written to counts, and every object once") {
  constexpr uint32_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS, kRw = PROT_READ | PROT_WRITE;
  constexpr uint64_t kMiB = 1 << 20;
  img::mm_entry mm;
  add_vma(mm, 0x10000000, kMiB, kRw, kPrivate, vma_status::kAnonPrivate);
  add_vma(mm, 0x20000000, kMiB, PROT_READ, kPrivate, vma_status::kAnonPrivate);
  add_vma(mm, 0x30000000, kMiB << 20, kRw, kPrivate | MAP_NORESERVE, vma_status::kAnonPrivate);
  add_vma(mm, 0x7f0000000000, 2 * kMiB, kRw, MAP_SHARED | MAP_ANONYMOUS, vma_status::kAnonShared, 7);
  add_vma(mm, 0x7f1000000000, kMiB << 10, kRw, MAP_SHARED, vma_status::kFileShared, 8);
  ClaimedMemory claimed;
  claimed.set(1, mm, {});
  CHECK(claimed.bytes() == 3 * kMiB);
  claimed.set(1, mm, {0x20000000});
  CHECK(claimed.bytes() == 4 * kMiB);
  claimed.copy(1, 2);
  CHECK(claimed.bytes() == 6 * kMiB);
  claimed.erase(1);
  CHECK(claimed.bytes() == 4 * kMiB);
  mm.mutable_vmas(2)->set_flags(kPrivate | MAP_NORESERVE | MAP_LOCKED);
  claimed.set(2, mm, {});
  CHECK(claimed.bytes() == (kMiB << 20) + 3 * kMiB);
  mm.mutable_vmas(2)->set_end(UINT64_MAX);
  claimed.set(2, mm, {});
  claimed.set(3, mm, {});
  CHECK(claimed.bytes() == UINT64_MAX);
}

TEST_CASE("present pages: each counts once, until it is dropped") {
  const PageSpace one{PageSpace::Kind::mm, 1}, two{PageSpace::Kind::mm, 2};
  const auto pages = [](uint64_t from, uint64_t to) {
    return std::vector<PageRange>{{from * kPageSize, to * kPageSize}};
  };
  PresentPages present;
  present.add(one, pages(4000, 4200));
  CHECK(present.bytes() == 200 * kPageSize);
  present.add(one, pages(4100, 4300));
  CHECK(present.bytes() == 300 * kPageSize);
  present.add(two, pages(64, 128));
  present.copy(one, two);
  CHECK(present.bytes() == 600 * kPageSize);
  present.drop(one, pages(4095, 4097));
  CHECK(present.bytes() == 598 * kPageSize);
  present.keep_only(two, {{4090 * kPageSize, 4096 * kPageSize}, {4200 * kPageSize, 4210 * kPageSize}});
  CHECK(present.bytes() == (298 + 16) * kPageSize);
  present.erase(one);
  present.erase(two);
  CHECK(present.bytes() == 0);
  present.add(one, pages(0, 1 << 20));
  present.keep_only(one, {});
  CHECK(present.bytes() == 0);
}

TEST_CASE("policy: what root would open for a task needs the task's capability") {
  Policy policy = users_from_1000();
  CHECK_THROWS_WITH_AS(policy.check_capability(CAP_NET_RAW, "packet socket (pid 5 fd 3)"),
                       doctest::Contains("packet socket (pid 5 fd 3) needs CAP_NET_RAW, which is not allowed here"),
                       Error);
  policy.capabilities = uint64_t{1} << CAP_NET_RAW;
  CHECK_NOTHROW(policy.check_capability(CAP_NET_RAW, ""));
  CHECK_THROWS_AS(policy.check_capability(CAP_SYS_ADMIN, ""), Error);
  CHECK_NOTHROW(Policy().check_capability(CAP_SYS_ADMIN, ""));
}

}  // namespace crx
