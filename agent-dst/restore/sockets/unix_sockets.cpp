// Unix sockets: all are made together, since they depend on each other.
#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/unix_builder.hpp"
#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"

namespace crx {
namespace {

class UnixSockets final : public FdRestorer {
 public:
  UnixSockets() = default;
  UnixSockets(const UnixSockets&) = delete;
  // If the move fails after the commit, the names go back to the sockets that had them.
  ~UnixSockets() override { rollback(); }

  const char* name() const override { return "unix sockets"; }
  // Matches also O_PATH descriptors of the file that a socket is bound to.
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

  // Takes all names or none.
  void commit(FdRestoreContext&) override {
    if (!table_) return;
    ScopeExit undo([this] { rollback(); });
    for (auto& [ino, socket] : table_->all()) {
      if (socket.place) socket.place->publish();
    }
    undo.release();
  }

  void resumed(FdRestoreContext&) noexcept override { table_.reset(); }

 private:
  // On storage that both hosts share, the file under this name is still the original's.
  Fd open_name(const img::file_entry& entry, FdRestoreContext& context) {
    for (const auto& [ino, socket] : table_->all()) {
      if (socket.place && socket.place->is_for(entry.reg().name()))
        return socket.place->open_path(static_cast<int>(entry.reg().flags()) & ~O_CREAT);
    }
    return context.task.files.open_description(entry.id(), context.opener_of(entry.id()));
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
