// What all targets that call code of a root process have in common: they run as nobody, in an empty directory in
// memory.
#pragma once

#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "common/base/log.hpp"

namespace crx::fuzz {

// Gives up all privileges for good, once, so that no input can harm the host: nothing can be forked into a namespace,
// traced, signalled or written that belongs to others. Returns a directory of this process, which is removed when it
// ends. To be called by LLVMFuzzerInitialize.
inline const std::string& enter_sandbox() {
  struct Directory {
    Directory() {
      std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm/crx-fuzz-XXXXXX" : "/tmp/crx-fuzz-XXXXXX";
      if (::mkdtemp(name.data()) == nullptr) std::abort();
      path = name;
      constexpr uid_t kNobody = 65534;
      if (::geteuid() == 0) {
        if (::chown(path.c_str(), kNobody, kNobody) != 0 || ::setgroups(0, nullptr) != 0 ||
            ::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) {
          std::abort();
        }
      }
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      ::umask(077);
      log::setup(log::Level::error, "fuzz");
    }
    ~Directory() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    std::string path;
  };
  static const Directory directory;
  return directory.path;
}

// Removes what an input has made below the directory.
inline void empty_sandbox() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(enter_sandbox(), ignored))
    std::filesystem::remove_all(entry.path(), ignored);
}

}  // namespace crx::fuzz
