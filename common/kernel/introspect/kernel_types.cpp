#include "common/kernel/introspect/kernel_types.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr char kFile[] = "/sys/kernel/btf/vmlinux";
constexpr std::size_t kHeaderBytes = 24, kTypeBytes = 12;
constexpr std::size_t kMaxTypes = 4'000'000, kMaxBytes = std::size_t{256} << 20;
constexpr int kMaxDepth = 8;

// Kinds of BTF.
enum Kind : uint32_t {
  kInt = 1,
  kPointer,
  kArray,
  kStruct,
  kUnion,
  kEnum,
  kForward,
  kTypedef,
  kVolatile,
  kConst,
  kRestrict,
  kFunction,
  kPrototype,
  kVariable,
  kSection,
  kFloat,
  kDeclTag,
  kTypeTag,
  kEnum64
};

// Bytes behind those that every type has.
std::size_t tail_of(uint32_t kind, uint32_t count) {
  switch (kind) {
    case kInt:
    case kVariable:
    case kDeclTag:
      return 4;
    case kArray:
      return 12;
    case kStruct:
    case kUnion:
    case kSection:
    case kEnum64:
      return std::size_t{12} * count;
    case kEnum:
    case kPrototype:
      return std::size_t{8} * count;
    default:
      return 0;
  }
}

Error bad() {
  return Error(ErrorCode::unsupported, "reading the kernel's types", "they are not as expected");
}

// Mapped it costs nothing (Linux 6.16); copied, some milliseconds.
Mapping read_types(const Fd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || info.st_size < 0) throw_errno("reading the kernel's types", kFile);
  const auto bytes = static_cast<std::size_t>(info.st_size);
  if (bytes < kHeaderBytes || bytes > kMaxBytes) throw bad();
  try {
    return Mapping::map(bytes, PROT_READ, MAP_PRIVATE, file.get());
  } catch (const Error&) {
    Mapping copy = Mapping::map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    const std::string text = read_fd(file.get(), kFile);
    std::memcpy(copy.data(), text.data(), std::min(text.size(), bytes));
    return copy;
  }
}

}  // namespace

std::optional<KernelTypes> KernelTypes::open() {
  const Fd file = try_open(kFile, O_RDONLY);
  if (!file) return std::nullopt;
  try {
    return KernelTypes(read_types(file));
  } catch (const Error&) {
    return std::nullopt;
  }
}

KernelTypes::KernelTypes(Mapping file) : file_(std::move(file)) {
  if ((at(0) & 0xffff) != 0xeb9f) throw bad();
  const std::size_t header = at(4);
  next_ = header + at(8);
  end_ = next_ + at(12);
  names_ = header + at(16);
  if (end_ > file_.size() || names_ > file_.size()) throw bad();
  places_.push_back(0);
}

// False: there are no more types.
bool KernelTypes::read_on() const {
  if (next_ + kTypeBytes > end_) return false;
  const uint32_t info = at(next_ + 4);
  const uint32_t kind = info >> 24 & 0x1f;
  if (kind == 0 || kind > kEnum64 || places_.size() > kMaxTypes) throw bad();
  places_.push_back(static_cast<uint32_t>(next_));
  next_ += kTypeBytes + tail_of(kind, info & 0xffff);
  return true;
}

uint32_t KernelTypes::at(std::size_t offset) const {
  uint32_t value = 0;
  if (offset + sizeof value <= file_.size()) std::memcpy(&value, file_.data() + offset, sizeof value);
  return value;
}

bool KernelTypes::has_name(uint32_t name, std::string_view wanted) const {
  const std::size_t start = names_ + name;
  if (start + wanted.size() >= file_.size()) return false;
  const auto* text = reinterpret_cast<const char*>(file_.data() + start);
  return std::memcmp(text, wanted.data(), wanted.size()) == 0 && text[wanted.size()] == '\0';
}

// Only anonymous types are looked into. Types are read as far as the file refers to them.
std::optional<KernelTypes::Member> KernelTypes::find_member(uint32_t type, std::string_view member, int depth) const {
  for (int turn = 0; turn < kMaxDepth; ++turn) {
    while (type >= places_.size()) {
      if (!read_on()) return std::nullopt;
    }
    const std::size_t place = places_[type];
    const uint32_t info = at(place + 4);
    const uint32_t kind = info >> 24 & 0x1f;
    if (type == 0 || depth > kMaxDepth) return std::nullopt;
    if (kind == kTypedef || kind == kConst || kind == kVolatile) {
      type = at(place + 8);
      continue;
    }
    if (kind != kStruct && kind != kUnion) return std::nullopt;
    for (uint32_t i = 0; i < (info & 0xffff); ++i) {
      const std::size_t entry = place + kTypeBytes + std::size_t{12} * i;
      const uint32_t name = at(entry);
      const uint64_t bits = (info >> 31) != 0 ? at(entry + 8) & 0xffffff : at(entry + 8);
      if (has_name(name, member)) return Member{bits / 8, at(entry + 4)};
      if (!has_name(name, "")) continue;
      if (const auto inside = find_member(at(entry + 4), member, depth + 1))
        return Member{bits / 8 + inside->offset, inside->type};
    }
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<uint64_t> KernelTypes::find_path(uint32_t type, std::string_view path) const {
  uint64_t offset = 0;
  for (;;) {
    const std::size_t dot = path.find('.');
    const auto member = find_member(type, path.substr(0, dot));
    if (!member) return std::nullopt;
    offset += member->offset;
    if (dot == std::string_view::npos) return offset;
    type = member->type;
    path.remove_prefix(dot + 1);
  }
}

uint32_t KernelTypes::find_struct(std::string_view name, uint32_t from) const {
  for (uint32_t type = from + 1; type < places_.size() || read_on(); ++type) {
    if ((at(places_[type] + 4) >> 24 & 0x1f) == kStruct && has_name(at(places_[type]), name)) return type;
  }
  return 0;
}

uint64_t KernelTypes::offset(std::string_view structure, std::string_view member) const {
  for (uint32_t type = 0; (type = find_struct(structure, type)) != 0;) {
    if (const auto offset = find_path(type, member)) return *offset;
  }
  throw Error(ErrorCode::unsupported, "reading the kernel's types",
              fmt::format("struct {} has no {}", structure, member));
}

uint64_t KernelTypes::size(std::string_view structure) const {
  const uint32_t type = find_struct(structure, 0);
  if (type == 0)
    throw Error(ErrorCode::unsupported, "reading the kernel's types", fmt::format("there is no struct {}", structure));
  return at(places_[type] + 8);
}

}  // namespace crx
