// Errors of the disk that image sets are written to and read from, with a remedy for the user.
#pragma once

#include <cerrno>
#include <string>

namespace crx {

// Throws Error(kernel) as throw_errno() does, with a hint if `err` concerns a disk, a directory or a permission.
[[noreturn]] void throw_writing(std::string step, std::string object, int err = errno);

// Throws the error for an image set whose directory cannot be opened for reading.
[[noreturn]] void throw_no_set(std::string path, int err = errno);

}  // namespace crx
