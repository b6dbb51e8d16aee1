// Pipes whose ends are all in the tree, with their content.
#include <fcntl.h>
#include <fmt/format.h>

#include <set>

#include "agent-src/collect/ipc/in_flight_fds.hpp"
#include "agent-src/collect/ipc/pipe_content.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

std::string outside_reason(const std::vector<PipeHolder>& holders) {
  return fmt::format("the pipe is also held outside, by {}", describe(holders));
}
constexpr char kPipeRemedy[] = "redirect it to a file, or end the other process";

class Pipes final : public FdKind {
 public:
  const char* name() const override { return "pipes"; }

  bool matches(const OpenFile& file) const override {
    return S_ISFIFO(file.st.st_mode) && file.link.starts_with("pipe:[") && !file.path_only();
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>& files, InspectContext& context) override {
    if (!seen_.insert(file.st.st_ino).second) return;
    bool reader = false, writer = false;
    for (const OpenFile& other : files) {
      if (!matches(other) || other.st.st_ino != file.st.st_ino) continue;
      reader = reader || can_read(other);
      writer = writer || can_write(other);
    }
    const auto holders = external_holders({file.st.st_dev, file.st.st_ino}, file.link, file, true);
    // The holder may be invisible to us, in another PID namespace; or the other end is in flight in a socket, which
    // collect() finds.
    const bool hidden = reader != writer && other_end_answers(file, reader) && !has_in_flight_fds(files);
    if (!holders.empty() || hidden) context.refusals.push_back(refusal_of(file, outside_reason(holders), kPipeRemedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const auto pipe_id = static_cast<uint32_t>(file.st.st_ino);
    entry.set_type(img::PIPE);
    img::pipe_entry& pipe = *entry.mutable_pipe();
    pipe.set_id(file.id);
    pipe.set_pipe_id(pipe_id);
    pipe.set_flags(file.info.flags);
    *pipe.mutable_fown() = read_file_owner(file);
    if (!seen_.insert(file.st.st_ino).second) return;

    const OpenFile* reader = nullptr;
    bool writer = false;
    for (const OpenFile& other : context.files) {
      if (!matches(other) || other.st.st_ino != file.st.st_ino) continue;
      if (can_read(other)) reader = &other;
      writer = writer || can_write(other);
    }
    if ((reader == nullptr || !writer) && other_end_is_open(file)) {
      refuse(file, outside_reason(external_holders({file.st.st_dev, file.st.st_ino}, file.link, file, false)),
             kPipeRemedy);
    }
    // Without a reader the content can never be read; only the capacity counts.
    PipeContent content;
    if (reader != nullptr) {
      content = peek_pipe(*reader);
    } else {
      content.capacity = static_cast<uint32_t>(::fcntl(file.own.get(), F_GETPIPE_SZ));
    }
    append_pipe_data(image_file::kPipesData, pipe_id, content, context.task.images);
    if (content.packets.size() > 1) {
      for (const uint32_t bytes : content.packets) context.extra(file).add_packets(bytes);
    }
  }

 private:
  std::set<ino_t> seen_;
};

}  // namespace

FdKindPtr make_pipes() {
  return std::make_unique<Pipes>();
}

}  // namespace crx
