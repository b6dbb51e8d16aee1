// Images come from files and from peers. The first byte chooses the kind. Content that can be read must survive being
// written and read again; other content must throw Error.
#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/integrity.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_digests.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/memory.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/pipes.pb.h"
#include "common/image/schema/regular.pb.h"

namespace {

using namespace crx;

template <typename T>
void read_and_write(const std::string& name, std::string bytes) {
  ImageStore store;
  store.insert(name, std::move(bytes));
  const std::vector<T> first = store.read_all<T>(name);
  ImageStore copy;
  copy.create(name);
  for (const T& message : first) copy.append(name, message);
  if (copy.read_all<T>(name).size() != first.size()) std::abort();
}

// Each entry is followed by the number of bytes that it names.
void read_pipes(std::string bytes) {
  ImageStore store;
  store.insert(std::string(image_file::kPipesData), std::move(bytes));
  ImageReader reader = store.reader(image_file::kPipesData);
  for (img::pipe_data_entry entry; reader.next(entry);) {
    if (reader.raw(entry.bytes()).size() != entry.bytes()) std::abort();
  }
  reader.expect_end();
}

void read_pagemap(std::string bytes) {
  ImageStore store;
  const std::string name = image_file::pagemap(1);
  store.insert(name, std::move(bytes));
  ImageReader reader = store.reader(name);
  reader.expect<img::pagemap_head>();
  for (img::pagemap_entry entry; reader.next(entry);) {
  }
}

void read(char kind, std::string bytes) {
  switch (kind) {
    case 'i':
      read_and_write<img::inventory_entry>(std::string(image_file::kInventory), std::move(bytes));
      break;
    case 'p':
      read_and_write<img::pstree_entry>(std::string(image_file::kPstree), std::move(bytes));
      break;
    case 'c':
      read_and_write<img::core_entry>(image_file::core(1), std::move(bytes));
      break;
    case 'm':
      read_and_write<img::mm_entry>(image_file::mm(1), std::move(bytes));
      break;
    case 'f':
      read_and_write<img::file_entry>(std::string(image_file::kFiles), std::move(bytes));
      break;
    case 'd':
      read_and_write<img::fdinfo_entry>(image_file::fdinfo(1), std::move(bytes));
      break;
    case 't':
      read_and_write<img::crx_task_entry>(image_file::crx_task(1), std::move(bytes));
      break;
    case 'n':
      static_cast<void>(Manifest::read(bytes, "a manifest"));
      break;
    case 's':
      static_cast<void>(PageDigests::read(image_file::crx_shmem(1), bytes));
      break;
    case 'r':
      read_and_write<img::remap_file_path_entry>(std::string(image_file::kRemapFpath), std::move(bytes));
      break;
    case 'x':
      read_pipes(std::move(bytes));
      break;
    case 'g':
      read_pagemap(std::move(bytes));
      break;
    default:
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    read(static_cast<char>(data[0]), std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  } catch (const crx::Error&) {
  }
  return 0;
}
