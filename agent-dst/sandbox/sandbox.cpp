#include "agent-dst/sandbox/sandbox.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kSandboxStep[] = "dropping privileges";
constexpr uid_t kNobody = 65534;
// The memory that a session's process may map in addition to that at its start: the ring of pages, and the largest
// message as it comes, as it is parsed and as it is passed on, with its images.
constexpr rlim_t kSessionMemory = rlim_t{2} << 30;

// Sanitizers make system calls of their own at any time.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// Each kind of process needs these. Sorted by use: exchanging packets and log lines; waiting; memory; time; ending.
constexpr int kAllowed[] = {SCMP_SYS(read),           SCMP_SYS(write),          SCMP_SYS(writev),
                            SCMP_SYS(recvmsg),        SCMP_SYS(sendmsg),        SCMP_SYS(close),
                            SCMP_SYS(fstat),          SCMP_SYS(newfstatat),     SCMP_SYS(poll),
                            SCMP_SYS(ppoll),          SCMP_SYS(futex),          SCMP_SYS(munmap),
                            SCMP_SYS(mremap),         SCMP_SYS(madvise),        SCMP_SYS(brk),
                            SCMP_SYS(getrandom),      SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
                            SCMP_SYS(gettimeofday),   SCMP_SYS(nanosleep),      SCMP_SYS(getpid),
                            SCMP_SYS(gettid),         SCMP_SYS(sched_yield),    SCMP_SYS(sched_getaffinity),
                            SCMP_SYS(rt_sigaction),   SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
                            SCMP_SYS(sigaltstack),    SCMP_SYS(exit),           SCMP_SYS(exit_group),
                            SCMP_SYS(restart_syscall)};
// Sockets that are open, and Asio.
constexpr int kForConnections[] = {
    SCMP_SYS(readv),        SCMP_SYS(recvfrom),      SCMP_SYS(sendto),         SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),   SCMP_SYS(setsockopt),    SCMP_SYS(getsockname),    SCMP_SYS(getpeername),
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),      SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),  SCMP_SYS(eventfd2),      SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime)};
constexpr int kForFront[] = {SCMP_SYS(accept), SCMP_SYS(accept4)};
constexpr int kForSigner[] = {SCMP_SYS(pread64), SCMP_SYS(lseek)};
// Libraries try these calls and work without them: they fail with EACCES, while any other call kills the process.
constexpr int kDenied[] = {SCMP_SYS(open),       SCMP_SYS(openat),   SCMP_SYS(stat),    SCMP_SYS(access),
                           SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(uname),   SCMP_SYS(sysinfo),
                           SCMP_SYS(prlimit64),  SCMP_SYS(getuid),   SCMP_SYS(geteuid), SCMP_SYS(getgid),
                           SCMP_SYS(getegid)};

void checked(int result, const char* what) {
  if (result < 0) throw_errno(kSandboxStep, what);
}

void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  checked(static_cast<int>(::syscall(SYS_capset, &header, none)), "capset");
}

void become_nobody() {
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; ++cap) (void)::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  if (::geteuid() == 0) {
    checked(::setgroups(0, nullptr), "setgroups");
    checked(::setresgid(kNobody, kNobody, kNobody), "setresgid");
    checked(::setresuid(kNobody, kNobody, kNobody), "setresuid");
  }
  drop_capabilities();
}

scmp_arg_cmp argument(unsigned index, scmp_compare compare, scmp_datum_t one, scmp_datum_t other = 0) {
  return {index, compare, one, other};
}

// A filter that kills the process at the first call that no rule allows.
class Filter {
 public:
  Filter() : filter_(::seccomp_init(SCMP_ACT_KILL_PROCESS)) {
    if (!filter_) throw Error(ErrorCode::kernel, kSandboxStep, "libseccomp cannot create a filter");
  }
  template <std::size_t N>
  void allow(const int (&calls)[N]) {
    for (const int call : calls) checked_rule(::seccomp_rule_add(filter_.get(), SCMP_ACT_ALLOW, call, 0));
  }
  void allow_if(int call, scmp_arg_cmp condition) {
    checked_rule(::seccomp_rule_add_array(filter_.get(), SCMP_ACT_ALLOW, call, 1, &condition));
  }
  template <std::size_t N>
  void deny(const int (&calls)[N]) {
    for (const int call : calls) checked_rule(::seccomp_rule_add(filter_.get(), SCMP_ACT_ERRNO(EACCES), call, 0));
  }
  void load() { checked_rule(::seccomp_load(filter_.get())); }

 private:
  static void checked_rule(int error) {
    if (error != 0) throw_errno(kSandboxStep, "the seccomp filter", -error);
  }
  struct Release {
    void operator()(scmp_filter_ctx filter) const noexcept { ::seccomp_release(filter); }
  };
  std::unique_ptr<void, Release> filter_;
};

void load_filter(Sandbox kind) {
  Filter filter;
  filter.allow(kAllowed);
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
    filter.allow_if(call, argument(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  filter.allow_if(SCMP_SYS(tgkill), argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));  // abort(3)
  for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS})
    filter.allow_if(SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
  if (kind != Sandbox::signer) {
    filter.allow(kForConnections);
    for (const unsigned long request : {static_cast<unsigned long>(FIONBIO), static_cast<unsigned long>(FIONREAD)})
      filter.allow_if(SCMP_SYS(ioctl), argument(1, SCMP_CMP_EQ, request));
  }
  if (kind == Sandbox::front) filter.allow(kForFront);
  if (kind == Sandbox::signer) filter.allow(kForSigner);
  filter.deny(kDenied);
  filter.load();
}

}  // namespace

void close_all_but(std::initializer_list<int> keep) {
  std::vector<int> sorted(keep);
  std::sort(sorted.begin(), sorted.end());
  unsigned from = 3;
  for (const int fd : sorted) {
    if (fd < static_cast<int>(from)) continue;
    if (static_cast<unsigned>(fd) > from) (void)::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  (void)::close_range(from, ~0U, 0);
}

// Log lines may go to a file, so RLIMIT_FSIZE is left alone.
void prepare_sandbox(Sandbox kind) {
  ::tzset();  // reads /etc/localtime
  if (kind != Sandbox::session || kSanitized) return;
  const std::string sizes = read_file("/proc/self/statm");  // proc(5): the first number is the size in pages
  const rlim_t pages = std::strtoull(sizes.c_str(), nullptr, 10);
  const rlim_t bytes = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + kSessionMemory;
  const rlimit memory{bytes, bytes};
  checked(::setrlimit(RLIMIT_AS, &memory), "RLIMIT_AS");
}

void enter_sandbox(Sandbox kind) {
  const rlimit no_core{0, 0};  // a core dump would contain keys and memory of others
  (void)::setrlimit(RLIMIT_CORE, &no_core);
  const rlimit no_processes{0, 0};
  (void)::setrlimit(RLIMIT_NPROC, &no_processes);
  become_nobody();
  checked(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  checked(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
  if (!kSanitized)
    load_filter(kind);
  else if (kind == Sandbox::front)
    log::warn("this build has a sanitizer, so processes run without their seccomp filters");
}

}  // namespace crx
