#include "agent-src/collect/sockets/tcp_block.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

std::vector<ConnectionEnds> ends_of(const std::vector<BlockedConnection>& connections) {
  std::vector<ConnectionEnds> ends;
  for (const BlockedConnection& connection : connections) {
    ends.push_back({connection.local.plain(), connection.peer.plain()});
  }
  return ends;
}

}  // namespace

TcpBlock::TcpBlock(std::string session) : session_(std::move(session)), table_("crx-" + session_) {}

TcpBlock::~TcpBlock() {
  unblock();
}

void TcpBlock::make_table() {
  if (has_table_) return;
  if (!filter_) filter_.emplace();
  filter_->make_table(table_, PacketFilter::Lifetime::owned);
  has_table_ = true;
}

void TcpBlock::make_kept_table() {
  if (has_kept_table_) return;
  if (!filter_) filter_.emplace();
  filter_->make_table(kept_table_name(session_), PacketFilter::Lifetime::permanent);
  has_kept_table_ = true;
}

void TcpBlock::prepare() noexcept {
  try {
    make_table();
    make_kept_table();
  } catch (const std::exception& error) {
    log::debug("cannot prepare the packet filter: {}", error.what());
  }
}

void TcpBlock::block(std::vector<BlockedConnection> connections) {
  if (connections.empty()) return;
  make_table();
  filter_->add(table_, ends_of(connections));
  connections_.insert(connections_.end(), std::make_move_iterator(connections.begin()),
                      std::make_move_iterator(connections.end()));
}

void TcpBlock::close_silently() noexcept {
  for (BlockedConnection& connection : connections_) {
    try {
      enter_repair(connection.own.get(), connection.local.text());
    } catch (const std::exception& error) {
      log::warn("cannot end a moved connection silently: {}", error.what());
    }
    connection.own.reset();
  }
}

void TcpBlock::unblock() noexcept {
  connections_.clear();
  remove_kept_table();
  if (!has_table_) return;
  has_table_ = false;
  try {
    filter_->remove_table(table_);
  } catch (const std::exception& error) {
    log::debug("cannot delete the packet filter's table, closing its netlink socket instead: {}", error.what());
    filter_.reset();  // closes the socket, at which the kernel removes the table
  }
}

// A connection within the tree has no outside peer that waits for a packet; it is restored, or made again, while the
// tree is built.
bool TcpBlock::reaches_outside() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const BlockedConnection& each) { return each.outside; });
}

void TcpBlock::keep() {
  if (is_kept_ || !reaches_outside()) return;
  std::vector<BlockedConnection> outside;
  for (const BlockedConnection& connection : connections_) {
    if (connection.outside) outside.push_back({Fd(), connection.local, connection.peer});
  }
  make_kept_table();
  filter_->add(kept_table_name(session_), ends_of(outside));
  is_kept_ = true;
}

void TcpBlock::remove_kept_table() noexcept {
  if (!has_kept_table_) return;
  has_kept_table_ = is_kept_ = false;
  try {
    filter_->remove_table(kept_table_name(session_));
  } catch (const std::exception& error) {
    log::warn("cannot delete the packet filter's table {}: {}", kept_table_name(session_), error.what());
  }
}

void TcpBlock::leave_installed() noexcept {
  if (!has_table_) return;
  try {
    keep();
    if (is_kept_) {
      log::warn("packets of its TCP connections stay blocked by the nftables table inet {}", kept_table_name(session_));
      has_kept_table_ = false;
    }
  } catch (const std::exception& error) {
    log::warn("cannot keep the packets of its TCP connections blocked: {}", error.what());
  }
  unblock();
}

}  // namespace crx
