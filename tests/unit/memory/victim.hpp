// A victim for memory tests: a fork of the test that makes the system calls and stores it is asked for.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent-src/memory/memory_rounds.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/memory/uapi_memory.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx::test {

using Page = std::array<std::byte, kPageSize>;

// Whether a read of fresh anonymous memory maps the kernel's zero page, which is no content. Some virtual machines run
// kernels without it: there the page is one of its own, and content.
inline bool has_zero_page() {
  constexpr uint64_t kFrame = (uint64_t{1} << 55) - 1;
  const Fd pagemap = open_checked("/proc/self/pagemap", O_RDONLY);
  uint64_t frames[2] = {};
  for (uint64_t& frame : frames) {
    void* page = ::mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static_cast<void>(*static_cast<volatile const char*>(page));
    const auto at = static_cast<off_t>(reinterpret_cast<uintptr_t>(page) / kPageSize * sizeof frame);
    if (::pread(pagemap.get(), &frame, sizeof frame, at) != sizeof frame) return false;
  }
  return (frames[0] & kFrame) == (frames[1] & kFrame);
}

class Victim {
 public:
  // Obeys commands until it is destroyed.
  Victim() : Victim([](int commands, int replies) { obey(commands, replies); }) {}
  // Runs `body(commands, replies)` instead.
  explicit Victim(const std::function<void(int, int)>& body) {
    int down[2];
    int up[2];
    if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(down[1]);
      ::close(up[0]);
      body(down[0], up[1]);
      ::_exit(0);
    }
    ::close(down[0]);
    ::close(up[1]);
    commands_.reset(down[1]);
    replies_.reset(up[0]);
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  int replies() const { return replies_.get(); }

  // Makes the victim call a system call; returns -errno if that fails.
  template <typename... Args>
  long call(long nr, Args... args) {
    return run({kCall, nr, word(args)...});
  }
  uint64_t map(uint64_t pages, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE | MAP_ANONYMOUS, int fd = -1,
               uint64_t addr = 0) {
    return static_cast<uint64_t>(call(SYS_mmap, addr, pages * kPageSize, prot, flags, fd, 0));
  }
  void store(uint64_t addr, uint64_t value) { run({kStore, static_cast<long>(addr), static_cast<long>(value)}); }
  uint64_t load(uint64_t addr) { return static_cast<uint64_t>(run({kLoad, static_cast<long>(addr)})); }
  // Stores `value` + page number into every page.
  void fill(uint64_t addr, uint64_t pages, uint64_t value) {
    for (uint64_t i = 0; i < pages; ++i) store(addr + i * kPageSize, value + i);
  }

  void stop() {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    if (::waitpid(pid_, &status, WUNTRACED) != pid_ || !WIFSTOPPED(status)) throw std::runtime_error("victim died");
  }
  void go() { ::kill(pid_, SIGCONT); }

  std::vector<MemoryVma> vmas() const {
    const std::optional<ProcDir> process = ProcDir::open(pid_);
    auto maps = process ? process->maps() : std::nullopt;
    if (!maps) throw std::runtime_error("victim died");
    return classify_maps(*maps);
  }
  // Returns our duplicate of a descriptor of the victim.
  Fd take(long fd) const {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    return Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
  }
  Fd make_userfaultfd() {
    const long fd = call(SYS_userfaultfd, WriteProtectFd::create_flags());
    Fd ours = take(fd);
    call(SYS_close, fd);
    return ours;
  }

  static bool read_all(int fd, void* data, std::size_t bytes) {
    auto* at = static_cast<char*>(data);
    while (bytes > 0) {
      const ssize_t got = ::read(fd, at, bytes);
      if (got <= 0) return false;
      at += got;
      bytes -= static_cast<std::size_t>(got);
    }
    return true;
  }

 private:
  static constexpr long kCall = 0, kStore = 1, kLoad = 2;
  using Command = std::array<long, 8>;
  template <typename T>
  static long word(T value) {
    if constexpr (std::is_pointer_v<T>)
      return reinterpret_cast<long>(value);
    else
      return static_cast<long>(value);
  }
  static void obey(int commands, int replies) {
    Command c;
    while (read_all(commands, c.data(), sizeof c)) {
      long result = 0;
      if (c[0] == kCall) {
        result = ::syscall(c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
        if (result == -1) result = -errno;
        if (c[1] == SYS_fork && result == 0) {
          ::pause();
          ::_exit(0);
        }
      } else if (c[0] == kStore) {
        *reinterpret_cast<volatile uint64_t*>(c[1]) = static_cast<uint64_t>(c[2]);
      } else {
        result = static_cast<long>(*reinterpret_cast<volatile uint64_t*>(c[1]));
      }
      if (::write(replies, &result, sizeof result) != sizeof result) return;
    }
  }
  long run(Command command) {
    long result = 0;
    if (::write(commands_.get(), command.data(), sizeof command) != sizeof command ||
        !read_all(replies_.get(), &result, sizeof result)) {
      throw std::runtime_error("the victim is gone");
    }
    return result;
  }
  pid_t pid_ = 0;
  Fd commands_, replies_;
};

// A destination in this process: it holds what a vessel and its objects would hold.
class Shadow final : public PageSink {
 public:
  std::span<std::byte> acquire() override { return buffer_; }
  void put(PageSpace space, std::vector<PageRange> ranges) override {
    if (fail_after == 0) throw std::runtime_error("the sink is broken");
    if (fail_after > 0) --fail_after;
    std::size_t at = 0;
    for (const PageRange& range : ranges) {
      for (uint64_t addr = range.start; addr < range.end; addr += kPageSize, at += kPageSize) {
        std::memcpy(pages[space][addr].data(), buffer_.data() + at, kPageSize);
        ++puts;
        last_put.push_back(addr);
      }
    }
  }
  // Does what a vessel does when it follows a layout.
  void follow(const PageSpace& space, const std::vector<MemoryVma>& vmas) {
    drop(space, changed_ranges(layout_, vmas));
    auto vma = vmas.begin();  // both lists ascend
    std::erase_if(pages[space], [&](const auto& entry) {
      while (vma != vmas.end() && vma->range.end <= entry.first) ++vma;
      return vma == vmas.end() || entry.first < vma->range.start;
    });
    layout_ = vmas;
  }
  void drop(const PageSpace& space, const std::vector<PageRange>& ranges) {
    auto& held = pages[space];
    for (const PageRange& range : ranges) held.erase(held.lower_bound(range.start), held.lower_bound(range.end));
  }
  void apply(const FinalMemory& memory) {
    for (const FinalSpace& space : memory.spaces) {
      drop({PageSpace::Kind::mm, static_cast<uint64_t>(space.pid)}, space.holes);
    }
    for (const FinalObject& object : memory.objects) drop({PageSpace::Kind::shmem, object.id.ino}, object.holes);
  }

  std::map<PageSpace, std::map<uint64_t, Page>> pages;
  std::vector<uint64_t> last_put;  // since the last clear
  uint64_t puts = 0;
  int fail_after = -1;  // number of puts until it throws; -1: never

 private:
  std::vector<std::byte> buffer_ = std::vector<std::byte>(64 * kPageSize);
  std::vector<MemoryVma> layout_;
};

// A victim, its rounds and its shadow.
class Move {
 public:
  explicit Move(Victim& victim, TrackerKind kind = TrackerKind::wp_async)
      : Move(victim, kind, [&] { return victim.make_userfaultfd(); }) {}
  Move(Victim& victim, TrackerKind kind, const std::function<Fd()>& make_userfaultfd) : victim_(victim) {
    rounds.add_space(victim.pid(), make_tracker(kind, victim.pid(), make_userfaultfd));
  }
  PageSpace space() const { return {PageSpace::Kind::mm, static_cast<uint64_t>(victim_.pid())}; }
  MemoryStatistics round() {
    shadow.last_put.clear();
    const std::vector<SpaceVmas> spaces{{victim_.pid(), victim_.vmas()}};
    MemoryStatistics statistics = rounds.begin_round(spaces);
    shadow.follow(space(), spaces[0].vmas);
    rounds.send_round(shadow, statistics);
    return statistics;
  }
  // Stops the victim, which stays stopped, and makes the last round.
  FinalMemory finish() {
    shadow.last_put.clear();
    const std::vector<SpaceVmas> spaces{{victim_.pid(), victim_.vmas()}};
    MemoryStatistics statistics;
    FinalMemory memory = rounds.final_scan(spaces, statistics);
    shadow.follow(space(), spaces[0].vmas);
    shadow.apply(memory);
    rounds.send_final(memory, shadow, statistics);
    last = statistics;
    return memory;
  }
  // Returns the pages of [addr, addr + pages) that the last round put, as indices.
  std::vector<uint64_t> put_pages(uint64_t addr, uint64_t pages) const {
    std::vector<uint64_t> out;
    for (const uint64_t at : shadow.last_put) {
      if (at >= addr && at < addr + pages * kPageSize) out.push_back((at - addr) / kPageSize);
    }
    return out;
  }
  // Describes the difference between the shadow and the stopped victim; empty if there is none. Reads plain pagemap
  // entries and /proc/PID/mem, and uses none of the tested code.
  std::string difference() const;

  MemoryRounds rounds;
  Shadow shadow;
  MemoryStatistics last;

 private:
  Victim& victim_;
};

}  // namespace crx::test
