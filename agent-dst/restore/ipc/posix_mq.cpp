// POSIX message queues: made anew under their names, and removed again if the migration fails.
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/crx_ipc.pb.h"

namespace crx {
namespace {

constexpr char kPosixMqStep[] = "restoring a message queue";

class PosixQueues final : public FdRestorer {
 public:
  ~PosixQueues() override { remove_names(); }
  const char* name() const override { return "POSIX message queues"; }

  // CRIU's format has no type for message queues; EXT stands for all kinds that it does not know.
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::EXT && entry.has_ext(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    if (!images_) images_ = context.task.images.read_all<img::crx_ipc_entry>(image_file::kCrxIpc);
    for (std::size_t i = 0; i < images_->size(); ++i) {
      const img::crx_mqueue& queue = (*images_)[i].mqueue();
      for (const img::crx_mqueue_file& file : queue.files()) {
        if (file.file_id() != entry.id()) continue;
        return open_description(made(i, queue), static_cast<uint32_t>(file.flags()));
      }
    }
    throw Error(ErrorCode::unsupported, kPosixMqStep,
                describe("descriptor", entry.id(), context) + " is of a kind that is not in the images");
  }

  void opened(FdRestoreContext&) override {
    for (const auto& [index, queue] : made_) {
      if (!queue.unlinked) continue;
      ::mq_unlink(queue.name.c_str());
      std::erase(names_, queue.name);
    }
    made_.clear();
  }
  void commit(FdRestoreContext&) override { names_.clear(); }

 private:
  struct Queue {
    Fd fd;
    std::string name;  // valid until opened(), also for a queue without a name
    bool unlinked = false;
  };

  // A description of open(2) (through /proc) has O_LARGEFILE, one of mq_open(3) has not.
  static Fd open_description(const Queue& queue, uint32_t flags) {
    constexpr uint32_t kKept = O_ACCMODE | O_NONBLOCK;
    constexpr uint32_t kLargeFile = 0100000;  // O_LARGEFILE of the kernel
    const auto kept = static_cast<int>(flags & kKept);
    if ((flags & kLargeFile) != 0) return open_checked(fmt::format("/proc/self/fd/{}", queue.fd.get()), kept);
    Fd fd(::mq_open(queue.name.c_str(), kept));
    if (!fd) throw_errno(kPosixMqStep, "message queue " + queue.name);
    return fd;
  }

  const Queue& made(std::size_t index, const img::crx_mqueue& queue) {
    Queue& made = made_[index];
    if (made.fd) return made;
    made.name = queue.name();
    made.unlinked = queue.unlinked();
    if (made.name.size() < 2 || made.name.front() != '/' || made.name.find('/', 1) != std::string::npos) {
      throw Error(ErrorCode::corrupt_image, kPosixMqStep, fmt::format("the name {}", made.name));
    }
    // Another queue may have the name by now.
    const bool is_taken = made.unlinked && Fd(::mq_open(made.name.c_str(), O_RDONLY | O_NONBLOCK));
    if (is_taken) made.name = fmt::format("/crx-{}-{}", ::getpid(), index);
    made.fd = create(made.name, queue);
    names_.push_back(made.name);
    if (::fchown(made.fd.get(), queue.uid(), queue.gid()) != 0 || ::fchmod(made.fd.get(), queue.mode() & 07777) != 0) {
      throw_errno(kPosixMqStep, made.name);
    }
    for (const img::crx_mqueue_message& message : queue.messages()) {
      if (::mq_send(made.fd.get(), message.text().data(), message.text().size(), message.priority()) != 0)
        throw_errno(kPosixMqStep, made.name);
    }
    return made;
  }

  static Fd create(const std::string& name, const img::crx_mqueue& queue) {
    mq_attr limits{};
    limits.mq_maxmsg = static_cast<long>(queue.max_messages());
    limits.mq_msgsize = static_cast<long>(queue.message_size());
    Fd fd(::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &limits));
    if (fd) return fd;
    if (errno == EEXIST) {
      throw Error(ErrorCode::refused, kPosixMqStep, fmt::format("a message queue {} exists here already", name))
          .with_hint("remove it (mq_unlink), or move to another host");
    }
    if (errno == EINVAL) {
      throw Error(ErrorCode::refused, kPosixMqStep,
                  fmt::format("message queue {}: {} messages of {} bytes are over the limits here", name,
                              queue.max_messages(), queue.message_size()))
          .with_hint("raise fs.mqueue.msg_max and fs.mqueue.msgsize_max");
    }
    throw_errno(kPosixMqStep, "message queue " + name);
  }

  void remove_names() noexcept {
    for (const std::string& name : names_) static_cast<void>(::mq_unlink(name.c_str()));
  }

  std::optional<std::vector<img::crx_ipc_entry>> images_;
  std::map<std::size_t, Queue> made_;
  std::vector<std::string> names_;  // to be removed unless the migration succeeds
};

}  // namespace

FdRestorerPtr make_posix_queue_restorer() {
  return std::make_unique<PosixQueues>();
}

}  // namespace crx
