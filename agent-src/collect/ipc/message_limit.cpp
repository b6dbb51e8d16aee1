#include "agent-src/collect/ipc/message_limit.hpp"

#include <fmt/format.h>

#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {
namespace {

constexpr std::size_t kMostMessageBytes = std::size_t{256} << 20;

}  // namespace

void require_few_messages(const OpenFile& queue, std::size_t count, std::size_t bytes) {
  if (count <= kMostMessageBytes / bytes) return;
  refuse(queue, fmt::format("{} messages of up to {} bytes are too many to copy", count, bytes),
         "let the program receive some");
}

}  // namespace crx
