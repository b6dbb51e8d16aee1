#include "agent-dst/restore/sockets/peercred_actor.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr char kPeercredActorStep[] = "restoring a connection";
constexpr int kPairFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

// Adds calls to a batch that change the vessel's credentials, and change them back.
class ScopedCredentials {
 public:
  explicit ScopedCredentials(const img::crx_ucred& who)
      : who_(who), changes_(who.uid() != ::geteuid() || who.gid() != ::getegid()) {}
  void plan_change(RemoteBatch& batch) const {
    if (!changes_) return;
    batch.add("taking a group", SYS_setresgid, -1, who_.gid(), -1);
    batch.add("taking a user", SYS_setresuid, -1, who_.uid(), -1);
  }
  void plan_return(RemoteBatch& batch) const {
    if (!changes_) return;
    batch.add("giving back a user", SYS_setresuid, -1, ::geteuid(), -1);
    batch.add("giving back a group", SYS_setresgid, -1, ::getegid(), -1);
  }

 private:
  const img::crx_ucred& who_;
  bool changes_;
};

}  // namespace

std::pair<Fd, Fd> PeercredActor::make_pair(int type, const img::crx_ucred* who, const std::string& object) {
  Call call{Call::Kind::pair, -1, type, 0, -1, {}, {-1, -1}};
  make(call, who, object);
  return {Fd(call.pair[0]), Fd(call.pair[1])};
}

void PeercredActor::listen(int fd, uint32_t backlog, const img::crx_ucred* who, const std::string& object) {
  Call call{Call::Kind::listen, fd, 0, static_cast<int>(std::min<uint32_t>(backlog, INT_MAX)), -1, {}, {-1, -1}};
  make(call, who, object);
}

void PeercredActor::connect(int fd, int bound, const std::string& name, const img::crx_ucred* who,
                            const std::string& object) {
  Call call{Call::Kind::connect, fd, 0, 0, bound, bound < 0 ? unix_address(name) : address_of_fd(bound), {-1, -1}};
  make(call, who, object);
}

void PeercredActor::make(Call& call, const img::crx_ucred* who, const std::string& object) {
  int64_t result = 0;
  if (who == nullptr || who->pid() <= 0) {
    result = make_here(call);
  } else if (Vessel* vessel = context_.task.tree.find(who->pid())) {
    result = make_in_vessel(*vessel, call, *who);
  } else if (const auto done = make_in_child(call, *who)) {
    result = *done;
  } else {
    log::warn("{}: it sees process {} at its other end (SO_PEERCRED) instead of {}, whose number is taken here", object,
              ::getpid(), who->pid());
    result = make_here(call);
  }
  if (result < 0) throw_errno(kPeercredActorStep, object, static_cast<int>(-result));
}

int64_t PeercredActor::make_here(Call& call) {
  int result = -1;
  switch (call.kind) {
    case Call::Kind::pair:
      result = ::socketpair(AF_UNIX, call.type | kPairFlags, 0, call.pair);
      break;
    case Call::Kind::listen:
      result = ::listen(call.fd, call.backlog);
      break;
    case Call::Kind::connect:
      result = ::connect(call.fd, reinterpret_cast<const sockaddr*>(&call.address.address), call.address.size);
      break;
  }
  return result < 0 ? -errno : result;
}

int64_t PeercredActor::make_in_vessel(Vessel& vessel, Call& call, const img::crx_ucred& who) {
  const ScopedCredentials credentials(who);
  const ArenaScope scratch(vessel.arena());
  RemoteBatch borrow = vessel.batch(2);
  std::vector<int> borrowed;
  for (const int fd : {call.fd, call.bound}) {
    if (fd >= 0) vessel.descriptors().plan_borrow(borrow, fd);
  }
  if (borrow.size() > 0) vessel.run_checked(borrow);
  for (std::size_t i = 0; i < borrow.size(); ++i) borrowed.push_back(static_cast<int>(borrow.result(i)));

  RemoteBatch batch = vessel.batch(8);
  const auto pair = vessel.arena().allocate<int>(2);
  credentials.plan_change(batch);
  std::size_t index = 0;
  switch (call.kind) {
    case Call::Kind::pair:
      index = batch.add_optional("making a pair", SYS_socketpair, AF_UNIX, call.type | kPairFlags, 0, pair.remote);
      break;
    case Call::Kind::listen:
      index = batch.add_optional("listening", SYS_listen, borrowed[0], call.backlog);
      break;
    case Call::Kind::connect: {
      const UnixAddress address = call.bound < 0 ? call.address : address_of_fd(borrowed[1]);
      index = batch.add_optional("connecting", SYS_connect, borrowed[0], vessel.arena().put_object(address.address),
                                 address.size);
      break;
    }
  }
  credentials.plan_return(batch);
  vessel.run_checked(batch);
  const int64_t result = batch.result(index);
  if (call.kind == Call::Kind::pair && result == 0) {
    for (int i = 0; i < 2; ++i) {
      borrowed.push_back(pair.local[i]);
      Fd taken = try_get_fd(vessel.pidfd(), pair.local[i]);
      if (!taken) throw_errno(kPeercredActorStep, "a pair of sockets");
      call.pair[i] = taken.release();
    }
  }
  RemoteBatch close = vessel.batch(2);
  for (const int fd : borrowed) close.add("closing a descriptor", SYS_close, fd);
  vessel.run_checked(close);
  return result;
}

// A child that shares our descriptor table. It makes raw system calls only: nothing that takes a lock or allocates.
std::optional<int64_t> PeercredActor::make_in_child(Call& call, const img::crx_ucred& who) {
  struct InBoth {
    Call call;
    int64_t result;
  };
  const Mapping memory = Mapping::map(sizeof(InBoth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  auto& shared = *new (memory.data()) InBoth{call, -EIO};
  const auto body = [&shared, uid = who.uid(), gid = who.gid()] {
    const bool disguised = ::syscall(SYS_setresgid, -1, gid, -1) == 0 && ::syscall(SYS_setresuid, -1, uid, -1) == 0;
    shared.result = disguised ? make_here(shared.call) : -errno;
    return 0;
  };
  const ForkOptions options{.wanted_pid = static_cast<pid_t>(who.pid()), .shares_descriptors = true};
  std::optional<ChildProcess> child = ChildProcess::try_fork(body, options);
  if (!child) return std::nullopt;
  child->join();
  call = shared.call;
  return shared.result;
}

}  // namespace crx
