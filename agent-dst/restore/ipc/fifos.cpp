// FIFOs: opened by name, and filled if they are new here.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <set>

#include "agent-dst/restore/ipc/pipe_filler.hpp"
#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr char kFifosStep[] = "restoring a FIFO";

class Fifos final : public FdRestorer {
 public:
  const char* name() const override { return "FIFOs"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::FIFO && entry.has_fifo(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::reg_file_entry& reg = context.task.files.entry(entry.fifo().regf_id()).reg();
    if (context.extra(entry.id()).unmet()) {
      Fd fd = open_unmet(find(entry, context).get(), reg);
      unmet_[entry.id()] = entry.fifo();
      return fd;
    }
    const int kept_open = held(entry, reg.name(), context);
    const uint32_t mode = reg.flags() & O_ACCMODE;
    Fd fd = open_checked(fmt::format("/proc/self/fd/{}", kept_open), static_cast<int>(mode | O_NONBLOCK));
    set_status_flags(fd.get(), reg.flags(), reg.name());
    return fd;
  }

  // The descriptor that kept the FIFO open was a writer, too. A reader that had not seen a writer yet is opened again
  // after it is closed.
  void opened(FdRestoreContext& context) override {
    std::set<uint32_t> kept;
    for (const auto& [pipe_id, kept_open] : kept_open_) kept.insert(pipe_id);
    kept_open_.clear();
    for (const auto& [id, fifo] : unmet_) {
      const auto own = context.own.find(id);
      if (own == context.own.end() || !kept.contains(fifo.pipe_id())) continue;
      own->second = open_unmet(own->second.get(), context.task.files.entry(fifo.regf_id()).reg());
    }
    unmet_.clear();
  }

 private:
  // Finds a FIFO that the task may open as it has it open; what follows is done by the agent.
  static Fd find(const img::file_entry& entry, FdRestoreContext& context) {
    FileOpener& files = context.task.files;
    const pid_t task = context.opener_of(entry.id());
    const img::reg_file_entry& reg = files.entry(entry.fifo().regf_id()).reg();
    Fd found = files.locate(entry.fifo().regf_id(), task);
    if (files.is_carried(entry.fifo().regf_id()) || files.tasks().may_open(task, found.get(), reg.flags() & O_ACCMODE))
      return found;
    throw Error(ErrorCode::refused, kFifosStep,
                fmt::format("{} cannot be opened here as {}", reg.name(), files.tasks().user_of(task)), errno)
        .with_hint("let that user open it, or allow root tasks on crx-agent");
  }

  static Fd open_unmet(int fifo, const img::reg_file_entry& reg) {
    Fd fd = open_checked(fmt::format("/proc/self/fd/{}", fifo), O_RDONLY | O_NONBLOCK);
    set_status_flags(fd.get(), reg.flags(), reg.name());
    return fd;
  }

  // Keeps the FIFO open for reading and writing meanwhile, so that other opens need no partner and the content stays.
  int held(const img::file_entry& entry, const std::string& path, FdRestoreContext& context) {
    const img::fifo_entry& fifo = entry.fifo();
    Fd& kept_open = kept_open_[fifo.pipe_id()];
    if (kept_open) return kept_open.get();
    if (!data_) data_ = read_pipe_data(context.task.images, image_file::kFifoData);
    const Fd found = find(entry, context);
    struct stat st {};
    int queued = 0;
    if (::fstat(found.get(), &st) != 0) throw_errno(kFifosStep, path);
    if (!S_ISFIFO(st.st_mode)) throw Error(ErrorCode::refused, kFifosStep, path + " is no FIFO here");
    kept_open = open_checked(fmt::format("/proc/self/fd/{}", found.get()), O_RDWR | O_NONBLOCK);
    if (::ioctl(kept_open.get(), FIONREAD, &queued) != 0) throw_errno(kFifosStep, path);
    const auto data = data_->find(fifo.pipe_id());
    if (data == data_->end()) return kept_open.get();
    const auto wanted = data->second.bytes;
    if (queued == 0) {
      context.task.follow_image(image_file::kFifoData);
      set_pipe_capacity(kept_open.get(), data->second.capacity, wanted.size(), path);
      fill_pipe(kept_open.get(), wanted, {}, path);
    } else if (static_cast<std::size_t>(queued) != wanted.size()) {
      // A FIFO with other content is in use here. The original's own FIFO (same kernel, same file) has the content of
      // the images.
      throw Error(ErrorCode::refused, kFifosStep, path + ": another program here uses this FIFO")
          .with_hint("end the program that has it open at the destination");
    }
    return kept_open.get();
  }

  std::map<uint32_t, Fd> kept_open_;           // keyed by pipe
  std::map<uint32_t, img::fifo_entry> unmet_;  // keyed by file
  std::optional<std::map<uint32_t, PipeData>> data_;
};

}  // namespace

FdRestorerPtr make_fifo_restorer() {
  return std::make_unique<Fifos>();
}

}  // namespace crx
