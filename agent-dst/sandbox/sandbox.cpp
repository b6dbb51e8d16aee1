#include "agent-dst/sandbox/sandbox.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kSandboxStep[] = "dropping the front's privileges";
constexpr uid_t kNobody = 65534;

// Sanitizers make system calls of their own at any time.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// Sorted by use: reading and writing open descriptors; Asio; memory; time; ending.
constexpr int kAllowed[] = {SCMP_SYS(read),         SCMP_SYS(write),           SCMP_SYS(pread64),
                            SCMP_SYS(readv),        SCMP_SYS(writev),          SCMP_SYS(recvfrom),
                            SCMP_SYS(sendto),       SCMP_SYS(recvmsg),         SCMP_SYS(sendmsg),
                            SCMP_SYS(accept),       SCMP_SYS(accept4),         SCMP_SYS(shutdown),
                            SCMP_SYS(close),        SCMP_SYS(getsockopt),      SCMP_SYS(setsockopt),
                            SCMP_SYS(getsockname),  SCMP_SYS(getpeername),     SCMP_SYS(ioctl),
                            SCMP_SYS(fcntl),        SCMP_SYS(fstat),           SCMP_SYS(newfstatat),
                            SCMP_SYS(lseek),        SCMP_SYS(epoll_create),    SCMP_SYS(epoll_create1),
                            SCMP_SYS(epoll_ctl),    SCMP_SYS(epoll_wait),      SCMP_SYS(epoll_pwait),
                            SCMP_SYS(eventfd2),     SCMP_SYS(timerfd_create),  SCMP_SYS(timerfd_settime),
                            SCMP_SYS(poll),         SCMP_SYS(ppoll),           SCMP_SYS(futex),
                            SCMP_SYS(mmap),         SCMP_SYS(munmap),          SCMP_SYS(mprotect),
                            SCMP_SYS(mremap),       SCMP_SYS(madvise),         SCMP_SYS(brk),
                            SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),   SCMP_SYS(clock_nanosleep),
                            SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep),       SCMP_SYS(getpid),
                            SCMP_SYS(gettid),       SCMP_SYS(sched_yield),     SCMP_SYS(sched_getaffinity),
                            SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigreturn),
                            SCMP_SYS(sigaltstack),  SCMP_SYS(restart_syscall), SCMP_SYS(tgkill),
                            SCMP_SYS(exit),         SCMP_SYS(exit_group)};
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

void load_filter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                ::seccomp_release);
  if (!filter) throw Error(ErrorCode::kernel, kSandboxStep, "libseccomp cannot create a filter");
  int rc = 0;
  for (const int call : kAllowed) rc = rc != 0 ? rc : ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  for (const int call : kDenied) rc = rc != 0 ? rc : ::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EACCES), call, 0);
  if (rc == 0) rc = ::seccomp_load(filter.get());
  if (rc != 0) throw_errno(kSandboxStep, "the seccomp filter", -rc);
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

void enter_sandbox() {
  ::tzset();                   // reads /etc/localtime while this is still allowed: log lines contain local time
  const rlimit no_core{0, 0};  // a core dump would contain the private key
  (void)::setrlimit(RLIMIT_CORE, &no_core);
  become_nobody();
  checked(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  checked(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
  if (kSanitized)
    log::warn("this build has a sanitizer, so the front runs without its seccomp filter");
  else
    load_filter();
}

}  // namespace crx
