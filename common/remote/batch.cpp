#include "common/remote/batch.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/error.hpp"

namespace crx {

RemoteBatch::RemoteBatch(RemoteArena& arena, std::size_t capacity)
    : table_(arena.take<stub::Entry>(capacity)), capacity_(capacity) {
  names_.reserve(capacity);
}

std::size_t RemoteBatch::add_words(const char* what, long nr, std::initializer_list<uint64_t> args) {
  if (full()) throw Error(ErrorCode::bug, what, "the remote batch is full");
  stub::Entry& entry = table_.local[size()];
  entry = {};
  entry.nr = static_cast<uint64_t>(nr);
  std::copy(args.begin(), args.end(), entry.args);
  names_.push_back(what);
  return names_.size() - 1;
}

void RemoteBatch::store_result(std::size_t index, RemotePtr<> where) {
  table_.local[index].result_to = where.addr();
}

RemotePtr<uint64_t> RemoteBatch::argument_addr(std::size_t index, std::size_t arg) const {
  const RemotePtr<> args = table_.at(index).member(offsetof(stub::Entry, args));
  return RemotePtr<uint64_t>(args.addr() + arg * sizeof(uint64_t));
}

int64_t RemoteBatch::checked(std::size_t index) const {
  const int64_t value = result(index);
  if (value < 0 && value >= -4095) {
    const stub::Entry& entry = table_.local[index];
    throw Error(ErrorCode::kernel, names_[index],
                fmt::format("system call {}({:#x}, {:#x}, {:#x}, {:#x}, {:#x}) in the task failed", entry.nr,
                            entry.args[0], entry.args[1], entry.args[2], entry.args[3], entry.args[4]),
                static_cast<int>(-value));
  }
  return value;
}

void RemoteBatch::check_all() const {
  for (std::size_t i = 0; i < size(); ++i) {
    if (!std::binary_search(optional_.begin(), optional_.end(), i)) static_cast<void>(checked(i));
  }
}

}  // namespace crx
