// The inside of a Vessel; for the files of this folder only.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "agent-dst/vessel/birth.hpp"
#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "common/kernel/page_placer.hpp"

namespace crx {

struct VesselState {
  VesselState(Fd door_fd, Fd code, Fd data, uint64_t arena_addr);
  void run_checked(RemoteBatch& batch);

  Fd door;  // a pidfd of ourselves
  Fd code_object, data_object;
  int door_number;  // under which the vessel has the door
  RemoteArena arena;
  std::deque<TracedThread> threads;
  std::vector<std::unique_ptr<RemoteThread>> remotes;
  Fd mem;            // /proc/PID/mem
  std::set<int> fds; // numbers the vessel has, the door aside
  img::mm_entry mm;
  std::vector<Vma> vmas;
  std::vector<PageRange> guards;  // of the last guard_pages()
  uint64_t vdso_syscall = 0;
  std::optional<PagePlacer> placer;  // while the vessel gets its first pages
  bool placer_registered = false;
};

}  // namespace crx
