// A set of images in a directory, as crx-restore reads and checks it before it forks, and as crx-image shows it. The
// input is a list of files: a number that chooses the name, and the content.
#include <fcntl.h>

#include <array>
#include <string>

#include "agent-dst/image_tool/image_decode.hpp"
#include "agent-dst/image_tool/image_show.hpp"
#include "agent-dst/restore/restore_tree.hpp"
#include "agent-dst/restore_set/restore_check.hpp"
#include "agent-dst/restore_set/restore_images.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/sandbox.hpp"

namespace {

using namespace crx;

// The order is part of the corpus: new names go to the end.
constexpr std::array kNames = {
    "inventory.img",  "pstree.img",        "core-1.img",      "mm-1.img",          "pagemap-1.img",
    "pages-1.img",    "files.img",         "fdinfo-1.img",    "ids-1.img",         "fs-1.img",
    "crx-task-1.img", "crx-integrity.img", "remap-fpath.img", "ghost-file-1.img",  "pipes-data.img",
    "fifo-data.img",  "sk-queues.img",     "tty-info.img",    "filelocks.img",     "pagemap-shmem-1.img",
    "pages-2.img",    "crx-shmem-1.img",   "core-2.img",      "mm-2.img",          "ipcns-shm-9.img",
    "timens-0.img",   "seccomp.img",       "cgroup.img",      "tcp-stream-1.img",  "crx-pagemap-1.img",
    "memfd.img",      "crx-ipc.img",       "tty-data.img",    "mountpoints-9.img", "utsns-9.img"};

// Runs one reader; an error of its own keeps none of the others from running.
template <typename Read>
void attempt(Read read) {
  try {
    read();
  } catch (const Error&) {
  }
}

void read_set(const std::string& path) {
  const ImageSet set = ImageSet::open(path);
  attempt([&] { static_cast<void>(show_set(set)); });
  attempt([&] { static_cast<void>(show_set_json(set)); });
  for (const std::string& name : set.images().names())
    attempt([&] { static_cast<void>(image_to_json(set.images(), name)); });
  attempt([&] { set.verify_pages(); });
  for (const PageSpace space : set.spaces()) {
    attempt([&] {
      for (const PagePiece& piece : set.pages(space)) {
        const PageRange first{piece.range.start, piece.range.start + kPageSize};
        std::array<std::byte, kPageSize> page{};
        set.read(piece, first, page);
      }
    });
  }
  const ImageStore images = load_images(set);
  attempt([&] { static_cast<void>(read_tasks(images)); });
  attempt([&] { static_cast<void>(check_restore(set, images, false)); });
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fuzz::enter_sandbox();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::string path = fuzz::enter_sandbox() + "/set";
  std::filesystem::create_directory(path);
  while (!input.empty()) {
    const std::string name = path + "/" + kNames.at(input.byte() % kNames.size());
    const std::string_view content = input.piece();
    const Fd file = open_checked(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) std::abort();
  }
  attempt([&] { read_set(path); });
  fuzz::empty_sandbox();
  return 0;
}
