#include "common/image/disk_error.hpp"

#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

const char* remedy_of(int err) {
  switch (err) {
    case ENOSPC:
    case EDQUOT:
      return "free space there, or choose another directory";
    case EROFS:
      return "that filesystem is read-only: choose another directory";
    case EACCES:
    case EPERM:
      return "choose a directory that you may write to";
    case ENOTDIR:
      return "a directory is wanted where a file is: choose another name, or remove the file";
    case ENOENT:
      return "a part of the path is missing or leads nowhere: make it, or choose another directory";
    case EFBIG:
      return "raise the limit of the file size (ulimit -f), or choose another filesystem";
    case EIO:
      return "the disk fails: choose another directory";
    default:
      return nullptr;
  }
}

}  // namespace

void throw_writing(std::string step, std::string object, int err) {
  Error error(ErrorCode::kernel, std::move(step), std::move(object), err);
  if (const char* remedy = remedy_of(err)) throw std::move(error).with_hint(remedy);
  throw error;
}

void throw_no_set(std::string path, int err) {
  Error error(ErrorCode::kernel, "opening the image set", std::move(path), err);
  if (err == EACCES || err == EPERM) throw std::move(error).with_hint("run this as a user who may read it");
  throw std::move(error).with_hint(
      "give the directory that the set was written to (crx-image list shows the sets in the store of an agent)");
}

}  // namespace crx
