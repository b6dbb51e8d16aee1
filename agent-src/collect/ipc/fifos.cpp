// FIFOs (named pipes) that only the tree has open, with their content.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/collect/ipc/pipe_content.hpp"
#include "agent-src/collect/kind/file_name.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr char kFifoRemedy[] = "end the other process, or move the program when the FIFO is closed";

class Fifos final : public FdKind {
 public:
  const char* name() const override { return "FIFOs"; }
  bool matches(const OpenFile& file) const override { return S_ISFIFO(file.st.st_mode) && !file.path_only(); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    const FileName found = find_name(file.pid, file.link, file.st);
    if (!can_be_opened(found)) {
      const NameProblem problem = explain(found.state);
      context.refusals.push_back(refusal_of(file, problem.reason, problem.remedy));
    }
    if (!seen_.insert({file.st.st_dev, file.st.st_ino}).second) return;
    const auto holders = external_holders({file.st.st_dev, file.st.st_ino}, file.link, file, true);
    if (!holders.empty()) {
      context.refusals.push_back(
          refusal_of(file, fmt::format("the FIFO is also held outside, by {}", describe(holders)), kFifoRemedy));
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const FileName found = find_name(file.pid, file.link, file.st);
    if (!can_be_opened(found)) refuse(file, explain(found.state).reason, explain(found.state).remedy);
    const auto pipe_id = static_cast<uint32_t>(file.st.st_ino);
    entry.set_type(img::FIFO);
    img::fifo_entry& fifo = *entry.mutable_fifo();
    fifo.set_id(file.id);
    fifo.set_pipe_id(pipe_id);
    fifo.set_regf_id(add_name(file, found, context));
    if (is_unmet(file, context)) context.extra(file).set_unmet(true);
    if (!seen_.insert({file.st.st_dev, file.st.st_ino}).second) return;

    const OpenFile* reader = nullptr;
    bool writer = false;
    for (const OpenFile& other : context.files) {
      if (!matches(other) || other.st.st_ino != file.st.st_ino || other.st.st_dev != file.st.st_dev) continue;
      if (can_read(other)) reader = &other;
      writer = writer || can_write(other);
    }
    if ((reader == nullptr || !writer) && other_end_is_open(file)) {
      const auto holders = external_holders({file.st.st_dev, file.st.st_ino}, file.link, file, false);
      // No holder is seen. A reader that no writer has opened yet looks the same.
      if (!holders.empty()) {
        refuse(file, fmt::format("the FIFO is also held outside, by {}", describe(holders)), kFifoRemedy);
      }
    }
    if (reader == nullptr) return;
    append_pipe_data(image_file::kFifoData, pipe_id, peek_pipe(*reader), context.task.images);
  }

 private:
  // A FIFO that was removed is made again, without a name.
  static bool can_be_opened(const FileName& found) {
    return found.state == NameState::good || found.state == NameState::deleted;
  }

  // Whether there is no writer and yet no end of file: no writer has opened it yet.
  bool is_unmet(const OpenFile& file, const FdContext& context) const {
    if (!can_read(file) || can_write(file) || !other_end_is_open(file)) return false;
    return std::none_of(context.files.begin(), context.files.end(), [&](const OpenFile& other) {
      return matches(other) && can_write(other) && other.st.st_ino == file.st.st_ino &&
             other.st.st_dev == file.st.st_dev;
    });
  }

  // Adds the name as a file entry of its own, as CRIU's format has it.
  static uint32_t add_name(const OpenFile& file, const FileName& found, FdContext& context) {
    img::file_entry entry;
    entry.set_type(img::REG);
    entry.set_id(context.task.files.next_id());
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(entry.id());
    reg.set_flags(file.info.flags);
    reg.set_pos(0);
    *reg.mutable_fown() = read_file_owner(file);
    reg.set_name(found.path);
    reg.set_mode(file.st.st_mode);
    const uint32_t id = entry.id();
    if (found.state == NameState::deleted) context.task.files.add_deleted(deleted_file(file, id, found.path), file.st);
    context.task.files.add(std::move(entry));
    return id;
  }

  std::set<HeldFile> seen_;
};

}  // namespace

FdKindPtr make_fifos() {
  return std::make_unique<Fifos>();
}

}  // namespace crx
