#include "common/base/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.hpp"

namespace crx {

namespace {

// The usual hint for an errno value that has the same remedy in every step; nullptr when there is none.
const char* usual_hint(int err) {
  switch (err) {
    case EMFILE:
      return "raise the limit of open files (ulimit -n)";
    case ENFILE:
      return "raise fs.file-max";
    case EFBIG:
      return "raise the limit of the size of files (ulimit -f)";
    case EDQUOT:
      return "raise the disk quota";
    default:
      return "";
  }
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::victim_gone:
      return "victim_gone";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::peer:
      return "peer";
    case ErrorCode::corrupt_image:
      return "corrupt_image";
    case ErrorCode::kernel:
      return "kernel";
    case ErrorCode::refused:
      return "refused";
    case ErrorCode::bug:
      return "bug";
  }
  return "unknown";
}

Error::Error(ErrorCode code, std::string step, std::string reason, int err)
    : std::runtime_error(reason),
      code_(code),
      err_(err),
      step_(std::move(step)),
      reason_(std::move(reason)),
      hint_(usual_hint(err)) {
  compose();
}

Error&& Error::with_pid(pid_t pid) && {
  pid_ = pid;
  compose();
  return std::move(*this);
}

Error&& Error::with_image(std::string image) && {
  image_ = std::move(image);
  compose();
  return std::move(*this);
}

void Error::add_image(std::string_view image) {
  if (!image_.empty()) return;
  image_ = image;
  compose();
}

Error&& Error::with_hint(std::string hint) && {
  hint_ = std::move(hint);
  compose();
  return std::move(*this);
}

void Error::compose() {
  text_ = step_;
  if (pid_ != 0) text_ += fmt::format(" (pid {})", pid_);
  if (!image_.empty()) text_ += ": " + image_;
  text_ += ": " + reason_;
  if (err_ != 0) text_ += fmt::format(": {}", std::strerror(err_));
  if (!hint_.empty()) text_ += "; " + hint_;
  text_ = printable(text_);  // names come from images and peers; and a NUL would end what()
}

void throw_gone(pid_t tid, const std::string& step) {
  throw Error(ErrorCode::victim_gone, step, "thread " + std::to_string(tid) + " has ended");
}

void throw_errno(std::string step, std::string object) {
  throw_errno(std::move(step), std::move(object), errno);
}

void throw_errno(std::string step, std::string object, int err) {
  throw Error(err == ESRCH ? ErrorCode::victim_gone : ErrorCode::kernel, std::move(step), std::move(object), err);
}

}  // namespace crx
