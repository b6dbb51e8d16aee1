// Unix sockets: all made together, since they hang together.
#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/unix_builder.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

class UnixSockets final : public FdRestorer {
 public:
  UnixSockets() = default;
  UnixSockets(const UnixSockets&) = delete;
  // Where the move failed after the commit, names go back to those who had them.
  ~UnixSockets() override { rollback(); }

  const char* name() const override { return "unix sockets"; }
  // And what is open with O_PATH of the file that one is bound to.
  bool matches(const img::file_entry& entry) const override {
    return (entry.type() == img::UNIXSK && entry.has_usk()) ||
           (entry.type() == img::REG && entry.has_reg() && S_ISSOCK(entry.reg().mode()));
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    if (!table_) {
      table_.emplace(context);
      builder_.emplace(*table_, context);
      builder_->connect_streams();
      builder_->make_datagrams();
    }
    if (entry.has_reg()) return open_name(entry, context);
    UnixSocket* socket = table_->find_id(entry.id());
    if (socket == nullptr || !socket->made) {
      throw Error(ErrorCode::corrupt_image, "restoring unix sockets",
                  "file " + std::to_string(entry.id()) + " is no socket of its own");
    }
    set_status_flags(socket->fd, entry.usk().flags(), socket->object);
    return std::move(socket->made);
  }

  void opened(FdRestoreContext&) override {
    if (builder_) builder_->finish();
    builder_.reset();
  }

  // All names or none.
  void commit(FdRestoreContext&) override {
    if (!table_) return;
    try {
      for (auto& [ino, socket] : table_->all()) {
        if (socket.place) socket.place->publish();
      }
    } catch (const Error&) {
      rollback();
      throw;
    }
  }

  void resumed(FdRestoreContext&) noexcept override { table_.reset(); }

 private:
  // The file under this name is still the original's, where both hosts have the same storage.
  Fd open_name(const img::file_entry& entry, FdRestoreContext& context) {
    for (const auto& [ino, socket] : table_->all()) {
      if (socket.place && socket.place->is_for(entry.reg().name()))
        return socket.place->open_path(static_cast<int>(entry.reg().flags()) & ~O_CREAT);
    }
    return context.task.files.open_description(entry.id());
  }

  void rollback() noexcept {
    if (!table_) return;
    for (auto& [ino, socket] : table_->all()) {
      if (socket.place) socket.place->rollback();
    }
  }

  std::optional<UnixTable> table_;
  std::optional<UnixBuilder> builder_;
};

}  // namespace

FdRestorerPtr make_unix_socket_restorer() {
  return std::make_unique<UnixSockets>();
}

}  // namespace crx
