#include "agent-dst/restore_set/image_of_step.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace crx {
namespace {

// By the words that a step begins with; the first that fits.
constexpr std::pair<std::string_view, std::string_view> kImages[] = {
    {"restoring signal actions", "core-PID.img"},
    {"restoring queued signals", "core-TID.img"},
    {"restoring descriptors", "fdinfo-*.img, files.img"},
    {"restoring an epoll set", "files.img"},
    {"restoring unix sockets", "files.img"},
    {"restoring unix datagram sockets", "files.img, sk-queues.img"},
    {"binding a unix socket", "files.img"},
    {"filling a socket's queue", "sk-queues.img"},
    {"putting a packet back", "sk-queues.img"},
    {"restoring a TCP connection", "tcp-stream-*.img"},
    {"restoring System V objects", "ipcns-*.img"},
    {"making System V objects", "ipcns-*.img"},
    {"making a deleted file", "ghost-file-*.img, remap-fpath.img"},
    {"restoring terminals", "tty-info.img"},
    {"filling a pipe", "pipes-data.img"},
    {"restoring a FIFO", "files.img"},
    {"restoring seccomp", "seccomp.img"},
    {"taking file locks", "filelocks.img"},
    {"reading the memory layout", "mm-PID.img"},
    {"mapping", "mm-PID.img"},
    {"writing pages", "pagemap-*.img, mm-PID.img"},
    {"setting", "core-TID.img"},
    {"opening files", "files.img"},
    {"restoring", "files.img, core-PID.img"},
};

}  // namespace

std::string with_image(const Error& error, const std::string& path) {
  const std::string_view text = error.what();
  const auto says = [text](std::string_view word) { return text.find(word) != std::string_view::npos; };
  if (says(".img") || error.code() == ErrorCode::refused || error.step() == "opening the image set")
    return std::string(text);
  for (const auto& [step, image] : kImages) {
    if (!error.step().starts_with(step)) continue;
    std::string name(image);
    const auto at = name.find("PID");
    if (at != std::string::npos && error.pid() != 0) name.replace(at, 3, fmt::format("{}", error.pid()));
    return fmt::format("{} (what {} says, in {})", text, name, path);
  }
  return fmt::format("{} (in {})", text, path);
}

}  // namespace crx
