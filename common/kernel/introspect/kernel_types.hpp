// What the running kernel's structures look like, as it describes them itself (BTF: /sys/kernel/btf/vmlinux,
// Documentation/bpf/btf.rst).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/mapping.hpp"

namespace crx {

class KernelTypes {
 public:
  // Nothing where the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF), or not in a way known here.
  static std::optional<KernelTypes> open();

  // Byte offset of a member of a struct, also of one in an anonymous struct or union of it; "a.b" is member b of the
  // struct that is its member a. Throws Error(unsupported) naming it where this kernel has none.
  uint64_t offset(std::string_view structure, std::string_view member) const;
  // Bytes of a struct. Throws the same.
  uint64_t size(std::string_view structure) const;

 private:
  struct Member {
    uint64_t offset;
    uint32_t type;
  };
  explicit KernelTypes(Mapping file);
  bool read_on() const;
  uint32_t at(std::size_t offset) const;
  bool has_name(uint32_t name, std::string_view wanted) const;
  std::optional<Member> find_member(uint32_t type, std::string_view member, int depth = 0) const;
  std::optional<uint64_t> find_path(uint32_t type, std::string_view path) const;
  // The next struct of that name after type `from`; 0: no more.
  uint32_t find_struct(std::string_view name, uint32_t from) const;

  Mapping file_;
  std::size_t names_ = 0, end_ = 0;       // in it: of names, the end of types
  mutable std::size_t next_ = 0;          // in it: the first type that has not been looked at
  mutable std::vector<uint32_t> places_;  // in it, of each type so far; the first is no type
};

}  // namespace crx
