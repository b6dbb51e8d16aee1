// The engine keeps the rules where things are done, whatever the source has said before.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <vector>

#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "tests/unit/policy/hostile.hpp"

namespace crx {
namespace {

using test::CopiedProcess;
using test::copy_process;
using test::outcome_of;

Policy only_users() {
  Policy policy;
  policy.uids = {{1000, 1999}};
  return policy;
}

// Makes it a process of uid and gid 1000 without capabilities.
void become_user(CopiedProcess& process) {
  process.change_core([](img::core_entry& core) {
    img::creds_entry& creds = *core.mutable_thread_core()->mutable_creds();
    for (auto set : {&img::creds_entry::set_uid, &img::creds_entry::set_euid, &img::creds_entry::set_suid,
                     &img::creds_entry::set_fsuid, &img::creds_entry::set_gid, &img::creds_entry::set_egid,
                     &img::creds_entry::set_sgid, &img::creds_entry::set_fsgid}) {
      (creds.*set)(1000);
    }
    for (auto* halves :
         {creds.mutable_cap_inh(), creds.mutable_cap_prm(), creds.mutable_cap_eff(), creds.mutable_cap_amb()}) {
      for (uint32_t& half : *halves) half = 0;
    }
    creds.clear_groups();
  });
}

std::string with_creds(const CopiedProcess& process, const Policy& policy,
                       const std::function<void(img::creds_entry&)>& change) {
  CopiedProcess changed = process;
  changed.change_core([&](img::core_entry& core) { change(*core.mutable_thread_core()->mutable_creds()); });
  return outcome_of(changed, policy);
}

std::vector<uint64_t> first_mapping(const CopiedProcess& process) {
  img::mm_entry mm;
  REQUIRE(mm.ParseFromString(process.space.mm()));
  for (const img::vma_entry& vma : mm.vmas()) {
    if ((vma.status() & vma_status::kAnonPrivate) != 0 && (vma.prot() & PROT_WRITE) != 0)
      return {vma.start(), vma.end()};
  }
  FAIL("no mapping can be written to");
  return {};
}

void add_mapping(img::mm_entry& mm, uint64_t bytes) {
  img::vma_entry vma;
  vma.set_start(0x10000000);
  vma.set_end(vma.start() + bytes);
  vma.set_pgoff(0);
  vma.set_shmid(0);
  vma.set_prot(PROT_READ | PROT_WRITE);
  vma.set_flags(MAP_PRIVATE | MAP_ANONYMOUS);
  vma.set_status(vma_status::kRegular | vma_status::kAnonPrivate);
  vma.set_fd(-1);
  *mm.add_vmas() = vma;
  for (int at = mm.vmas_size() - 1; at > 0 && mm.vmas(at - 1).start() > mm.vmas(at).start(); --at)
    mm.mutable_vmas()->SwapElements(at - 1, at);
}

}  // namespace

TEST_CASE("a hostile source: an empty preflight, then a root process") {
  const CopiedProcess process = copy_process();
  CHECK(outcome_of(process, Policy()) == "prepared");
  CHECK(outcome_of(process, only_users()) == "uid 0 is not allowed here; see --allow-uid of crx-agent");
}

TEST_CASE("a hostile source: credentials that differ from what preflight would tell") {
  CopiedProcess process = copy_process();
  become_user(process);
  const Policy policy = only_users();
  CHECK(outcome_of(process, policy) == "prepared");
  const std::string uid = "uid 0 is not allowed here; see --allow-uid of crx-agent";
  for (auto set : {&img::creds_entry::set_uid, &img::creds_entry::set_euid, &img::creds_entry::set_suid,
                   &img::creds_entry::set_fsuid}) {
    CHECK(with_creds(process, policy, [&](img::creds_entry& creds) { (creds.*set)(0); }) == uid);
  }
  CHECK(with_creds(process, Policy(), [](img::creds_entry& creds) {
          creds.set_euid(UINT32_MAX);
        }).starts_with("uid 4294967295 is not allowed here"));
  Policy groups = policy;
  groups.gids = {{1000, 1999}};
  const std::string gid = "gid 0 is not allowed here; see --allow-gid of crx-agent";
  for (auto set : {&img::creds_entry::set_gid, &img::creds_entry::set_egid, &img::creds_entry::set_sgid,
                   &img::creds_entry::set_fsgid, &img::creds_entry::add_groups}) {
    CHECK(with_creds(process, groups, [&](img::creds_entry& creds) { (creds.*set)(0); }) == gid);
  }
  const std::string cap = "CAP_NET_RAW is not allowed here; see --allow-capabilities of crx-agent";
  for (auto set : {&img::creds_entry::mutable_cap_inh, &img::creds_entry::mutable_cap_prm,
                   &img::creds_entry::mutable_cap_eff, &img::creds_entry::mutable_cap_amb}) {
    CHECK(with_creds(process, policy, [&](img::creds_entry& creds) { (*(creds.*set)())[0] = 1 << 13; }) == cap);
  }
  CHECK(with_creds(process, policy, [](img::creds_entry& creds) {
          creds.set_secbits(4);
        }).starts_with("securebits 0x4 need CAP_SETPCAP"));
  process.change_core([](img::core_entry& core) { core.mutable_thread_core()->clear_creds(); });
  CHECK(outcome_of(process, policy) == "a thread has none");
}

TEST_CASE("a hostile source: memory that is mapped, in a layout or in an image") {
  Policy policy;
  policy.max_memory = 64 << 20;
  CopiedProcess process = copy_process();
  CHECK(outcome_of(process, policy) == "prepared");
  const std::string refused = "memory: 10";  // GiB, and the process's own
  const auto grow = [](img::mm_entry& mm) { add_mapping(mm, uint64_t{1} << 30); };
  CopiedProcess in_layout = process;
  in_layout.change_layout(grow);
  CHECK(outcome_of(in_layout, policy).starts_with(refused));
  CopiedProcess in_image = process;
  in_image.change_mappings(grow);
  CHECK(outcome_of(in_image, policy).starts_with(refused));
}

TEST_CASE("a hostile source: pages that arrive where nothing was claimed") {
  Policy policy;
  policy.max_memory = 64 << 20;
  CopiedProcess process = copy_process();
  process.change_layout([](img::mm_entry& mm) {
    add_mapping(mm, uint64_t{1} << 40);
    for (img::vma_entry& vma : *mm.mutable_vmas()) {
      if (vma.start() == 0x10000000) vma.set_flags(vma.flags() | MAP_NORESERVE);
    }
  });
  wire::PagesArrived pages;
  pages.space = {PageSpace::Kind::mm, static_cast<uint64_t>(process.pid)};
  pages.zero_ranges = {{0x10000000, 0x10000000 + (uint64_t{65} << 20)}};
  CHECK(outcome_of(process, policy, pages) ==
        "memory: 65 MiB are more than a session may have here; see --max-memory of crx-agent");
  pages.zero_ranges = {{first_mapping(process)[0], first_mapping(process)[0] + 4096}};
  CHECK_FALSE(outcome_of(process, policy, pages).starts_with("memory: 65"));
}

TEST_CASE("a hostile source: images beyond the limit") {
  Policy policy;
  policy.max_memory = 64 << 20;
  CopiedProcess process = copy_process();
  process.images.insert("pages-9.img", std::string(65 << 20, 'x'));
  CHECK(outcome_of(process, policy)
            .ends_with("MiB of images are more than a session may have here; see --max-image-memory of crx-agent"));
  policy.max_image_memory = 128 << 20;
  CHECK(outcome_of(process, policy) == "prepared");
}

TEST_CASE("a hostile source: threads beyond the limit") {
  Policy policy;
  policy.max_tasks = 3;
  CHECK(outcome_of(copy_process(3), policy) == "prepared");
  CHECK(outcome_of(copy_process(4), policy) ==
        "4 tasks are more than a session may have here; see --max-tasks of crx-agent");
}

}  // namespace crx
