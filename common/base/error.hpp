// The one exception type of crx: it says which step failed, on which object, and how the user can remedy it.
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace crx {

enum class ErrorCode {
  victim_gone,    // the process ended or called execve while crx worked on it; this is an ordinary event
  unsupported,    // this kernel, CPU or crx version does not support the operation
  peer,           // the other host is unreachable, has a wrong certificate, violated the protocol or refused
  corrupt_image,  // data from a file or a peer violates the format
  kernel,         // a system call failed unexpectedly
  refused,        // the process holds something that cannot be moved; nothing has been changed
  bug,            // an invariant of crx itself is violated
};

// The name of the code ("victim_gone"), as in JSON output and on the wire.
std::string_view to_string(ErrorCode code);

// what() is one sentence on one line (printable() in log.hpp): "step (pid 7): core-7.img: reason: errno text; hint",
// without the parts that are not set. The parts remain accessible, so that the error can be sent to the peer and
// printed there, and so that code decides by code(), err() and image(), never by the wording. Copyable; holds no
// references.
class Error : public std::runtime_error {
 public:
  // step: the work in progress ("restoring timers"). reason: the object and the problem with it. err: an errno value,
  // or 0.
  Error(ErrorCode code, std::string step, std::string reason, int err = 0);

  // Builders, used as `throw Error(...).with_pid(pid).with_hint("...")`.
  Error&& with_pid(pid_t pid) &&;
  // The image that ordered the failed step or is malformed: "core-12.img", with or without its directory.
  Error&& with_image(std::string image) &&;
  Error&& with_hint(std::string hint) &&;

  ErrorCode code() const noexcept { return code_; }
  int err() const noexcept { return err_; }
  pid_t pid() const noexcept { return pid_; }
  // For callers that learn only afterwards from which image the work came. No effect when an image is set already.
  void add_image(std::string_view image);
  const std::string& image() const noexcept { return image_; }
  const std::string& step() const noexcept { return step_; }
  const std::string& reason() const noexcept { return reason_; }
  const std::string& hint() const noexcept { return hint_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  void compose();
  ErrorCode code_;
  int err_;
  pid_t pid_ = 0;
  std::string step_, reason_, hint_, image_, text_;
};

// Throws Error(victim_gone): the process or thread `tid` has ended.
[[noreturn]] void throw_gone(pid_t tid, const std::string& step);
// Throws Error(kernel) with the current errno; ESRCH becomes victim_gone. object: the file, process or address that the
// call was about.
[[noreturn]] void throw_errno(std::string step, std::string object);
// The same for a given errno value (a raw kernel result is -err).
[[noreturn]] void throw_errno(std::string step, std::string object, int err);

}  // namespace crx
