// Pipes: made anew, filled, and their ends given to the tasks that had them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <optional>

#include "agent-dst/restore/ipc/pipe_filler.hpp"
#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

class Pipes final : public FdRestorer {
 public:
  const char* name() const override { return "pipes"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::PIPE && entry.has_pipe(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::pipe_entry& pipe = entry.pipe();
    const std::string object = describe("pipe", entry.id(), context);
    Ends& ends = made(pipe.pipe_id(), context, object);
    const uint32_t mode = pipe.flags() & O_ACCMODE;
    // The first description of each end gets the pipe's own; any other one was opened through /proc, and is again here.
    Fd& free = mode == O_RDONLY ? ends.read : ends.write;
    Fd fd = mode != O_RDWR && free ? std::move(free) : open_checked(link_of(ends), static_cast<int>(mode | O_NONBLOCK));
    set_status_flags(fd.get(), pipe.flags(), object);
    return fd;
  }

  // Closes the ends that no task holds.
  void opened(FdRestoreContext&) override { pipes_.clear(); }

 private:
  struct Ends {
    Fd read, write;
    Fd any;  // O_PATH: opens further descriptions; holds no end open
  };

  static std::string link_of(const Ends& ends) { return fmt::format("/proc/self/fd/{}", ends.any.get()); }

  Ends& made(uint32_t pipe_id, FdRestoreContext& context, const std::string& object) {
    const auto [slot, is_new] = pipes_.try_emplace(pipe_id);
    Ends& ends = slot->second;
    if (!is_new) return ends;
    if (!data_) data_ = read_pipe_data(context.task.images, image_file::kPipesData);
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("restoring a pipe", object);
    ends.read.reset(fds[0]);
    ends.write.reset(fds[1]);
    ends.any = open_checked(fmt::format("/proc/self/fd/{}", fds[0]), O_PATH);
    const auto data = data_->find(pipe_id);
    if (data == data_->end()) return ends;
    context.task.follow_image(image_file::kPipesData);
    set_pipe_capacity(fds[1], data->second.capacity, data->second.bytes.size(), object);
    fill_pipe(fds[1], data->second.bytes, packets_of(pipe_id, context), object);
    return ends;
  }

  // The packet sizes are stored with one of the descriptions.
  static std::vector<uint32_t> packets_of(uint32_t pipe_id, const FdRestoreContext& context) {
    for (const auto& [id, entry] : context.entries) {
      if (!entry.has_pipe() || entry.pipe().pipe_id() != pipe_id) continue;
      const img::crx_file_entry& extra = context.extra(id);
      if (extra.packets_size() > 0) return {extra.packets().begin(), extra.packets().end()};
    }
    return {};
  }

  std::map<uint32_t, Ends> pipes_;
  std::optional<std::map<uint32_t, PipeData>> data_;
};

}  // namespace

FdRestorerPtr make_pipe_restorer() {
  return std::make_unique<Pipes>();
}

}  // namespace crx
