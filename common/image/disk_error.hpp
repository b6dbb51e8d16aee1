// Errors of the disk that image sets are written to and read from, with what the user can do about them.
#pragma once

#include <cerrno>
#include <string>

namespace crx {

// Throws Error(kernel) as throw_errno() does, with a remedy where `err` is one of a disk, a directory or a permission.
[[noreturn]] void throw_writing(std::string step, std::string object, int err = errno);

// The directory of an image set cannot be opened for reading.
[[noreturn]] void throw_no_set(std::string path, int err = errno);

}  // namespace crx
