// Tells the user on whose word a set is restored.
#pragma once

#include <string>

#include "common/image/page_images.hpp"

namespace crx {

// Prints one line of warning if somebody other than root and this user could have written the set at `images_dir` or
// one of its parents: a folder or a file belongs to them, or may be written by them. Follows the `parent` links; does
// not throw, since a restore of the set says what is wrong with it.
void warn_of_others(const std::string& images_dir) noexcept;

// Prints who signed the set and its parents, if signatures were looked at: to stderr, and with `json` to stdout as
// well.
void print_signers(const ImageSet& set, bool json);

}  // namespace crx
