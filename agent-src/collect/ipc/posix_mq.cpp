// POSIX message queues (mq_overview(7)): limits and messages. A message can only be read by receiving it; a process
// that survives ours sends it again at once (uninterruptible_child.hpp).
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>

#include "agent-src/collect/ipc/message_limit.hpp"
#include "agent-src/collect/ipc/pipe_content.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/uninterruptible_child.hpp"
#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/crx_ipc.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr char kPosixMqStep[] = "copying a message queue";
constexpr long kMqueueMagic = 0x19800202;
constexpr off_t kStatusBytes = 80;  // FILENT_SIZE of ipc/mqueue.c: the size that stat(2) reports for every queue

// The messages of one queue, in memory shared with the copying process.
struct Copy {
  int fd;
  int error;
  std::size_t slot_bytes, message_size, room;  // bytes of a slot; bytes of a message; number of slots
  std::size_t count;

  struct Slot {
    std::size_t bytes;
    unsigned priority;
  };
  Slot& slot(std::size_t i) { return *reinterpret_cast<Slot*>(reinterpret_cast<char*>(this + 1) + i * slot_bytes); }
  char* text(std::size_t i) { return reinterpret_cast<char*>(&slot(i) + 1); }
};

// Runs in the child. Nobody else changes the queue: all processes that have it open are stopped.
int receive_and_send(void* argument) {
  Copy& copy = *static_cast<Copy*>(argument);
  for (; copy.count < copy.room; ++copy.count) {
    Copy::Slot& slot = copy.slot(copy.count);
    const long got =
        ::syscall(SYS_mq_timedreceive, copy.fd, copy.text(copy.count), copy.message_size, &slot.priority, nullptr);
    if (got < 0) {
      if (errno != EAGAIN) copy.error = errno;
      break;
    }
    slot.bytes = static_cast<std::size_t>(got);
  }
  for (std::size_t i = 0; i < copy.count; ++i) {
    if (::syscall(SYS_mq_timedsend, copy.fd, copy.text(i), copy.slot(i).bytes, copy.slot(i).priority, nullptr) != 0)
      copy.error = errno;
  }
  return 0;
}

void copy_messages(int fd, const mq_attr& limits, const OpenFile& file, img::crx_mqueue& queue) {
  if (limits.mq_curmsgs == 0) return;
  const auto message_size = static_cast<std::size_t>(limits.mq_msgsize);
  const std::size_t slot_bytes = (sizeof(Copy::Slot) + message_size + 15) & ~std::size_t{15};
  const auto room = static_cast<std::size_t>(limits.mq_curmsgs);
  require_few_messages(file, room, message_size);
  const Mapping memory =
      Mapping::map(sizeof(Copy) + room * slot_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
  Copy& copy = *new (memory.data()) Copy{fd, 0, slot_bytes, message_size, room, 0};
  run_uninterruptible_child(receive_and_send, &copy);
  if (copy.error != 0 || copy.count != room) {
    throw_errno(kPosixMqStep, file.label(), copy.error != 0 ? copy.error : EAGAIN);
  }
  for (std::size_t i = 0; i < room; ++i) {
    img::crx_mqueue_message& message = *queue.add_messages();
    message.set_priority(copy.slot(i).priority);
    message.set_text(copy.text(i), copy.slot(i).bytes);
  }
}

// Parses "QSIZE:5 NOTIFY:0 SIGNO:0 NOTIFY_PID:0". Returns the process that the queue will notify, 0 for none.
int notified_process(int fd, const std::string& object) {
  char text[kStatusBytes + 1] = {};
  if (::pread(fd, text, sizeof text - 1, 0) < 0) throw_errno(kPosixMqStep, object);
  const char* at = std::strstr(text, "NOTIFY_PID:");
  return at == nullptr ? 0 : std::atoi(at + std::strlen("NOTIFY_PID:"));
}

class PosixQueues final : public FdKind {
 public:
  const char* name() const override { return "POSIX message queues"; }

  bool matches(const OpenFile& file) const override {
    if (!S_ISREG(file.st.st_mode) || file.st.st_size != kStatusBytes || file.path_only()) return false;
    struct statfs fs {};
    return ::statfs(file.proc_link().c_str(), &fs) == 0 && fs.f_type == kMqueueMagic;
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    if (const auto problem = problem_of(file, true))
      context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    entry.set_type(img::EXT);
    entry.mutable_ext()->set_id(file.id);
    *entry.mutable_ext()->mutable_fown() = read_file_owner(file);
    auto [slot, is_new] = queues_.try_emplace(file.st.st_ino);
    img::crx_mqueue& queue = slot->second;
    if (is_new) describe(file, queue);
    img::crx_mqueue_file& description = *queue.add_files();
    description.set_file_id(file.id);
    description.set_flags(file.info.flags);
    static_cast<void>(context);
  }

  void finish(FdContext& context) override {
    for (auto& [ino, queue] : queues_) {
      img::crx_ipc_entry entry;
      *entry.mutable_mqueue() = std::move(queue);
      context.task.images.append(image_file::kCrxIpc, entry);
    }
    queues_.clear();
  }

 private:
  struct Problem {
    std::string reason, remedy;
  };

  static std::optional<Problem> problem_of(const OpenFile& file, bool with_us) {
    const auto holders = external_holders({file.st.st_dev, file.st.st_ino}, file.link, file, with_us);
    if (!holders.empty()) {
      return Problem{fmt::format("the message queue is also open outside, by {}", crx::describe(holders)),
                     "end the other process, or move it along"};
    }
    const Fd again = open_checked(file.proc_link(), O_RDONLY | O_NONBLOCK);
    if (notified_process(again.get(), file.label()) != 0) {
      return Problem{"a notification (mq_notify) is registered with the message queue, and cannot be read",
                     "let the program take it back, or move it when the notification has come"};
    }
    return std::nullopt;
  }

  static void describe(const OpenFile& file, img::crx_mqueue& queue) {
    if (const auto problem = problem_of(file, false)) refuse(file, problem->reason, problem->remedy);
    // A description of our own, so that O_NONBLOCK affects only us.
    const Fd own = open_checked(file.proc_link(), O_RDWR | O_NONBLOCK);
    mq_attr limits{};
    if (::mq_getattr(own.get(), &limits) != 0) throw_errno(kPosixMqStep, file.label());
    std::string name = file.link;
    if (file.st.st_nlink == 0 && name.ends_with(proc::kDeleted)) name.resize(name.size() - proc::kDeleted.size());
    queue.set_name(name.substr(name.rfind('/')));
    queue.set_unlinked(file.st.st_nlink == 0);
    queue.set_mode(file.st.st_mode & 07777);
    queue.set_uid(file.st.st_uid);
    queue.set_gid(file.st.st_gid);
    queue.set_max_messages(static_cast<uint64_t>(limits.mq_maxmsg));
    queue.set_message_size(static_cast<uint64_t>(limits.mq_msgsize));
    copy_messages(own.get(), limits, file, queue);
  }

  std::map<ino_t, img::crx_mqueue> queues_;
};

}  // namespace

FdKindPtr make_posix_queues() {
  return std::make_unique<PosixQueues>();
}

}  // namespace crx
