#include "common/kernel/kernel_reader.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr std::size_t kHeaderBytes = 24;
constexpr uint32_t kMaxTypes = 4'000'000;

// Kinds of BTF.
enum Kind : uint32_t {
  kInt = 1, kPointer, kArray, kStruct, kUnion, kEnum, kForward, kTypedef, kVolatile, kConst, kRestrict, kFunction,
  kPrototype, kVariable, kSection, kFloat, kDeclTag, kTypeTag, kEnum64
};

// Bytes behind the 12 that every type has.
std::size_t tail_of(uint32_t kind, uint32_t count) {
  switch (kind) {
    case kInt: case kVariable: case kDeclTag: return 4;
    case kArray: return 12;
    case kStruct: case kUnion: case kSection: case kEnum64: return std::size_t{12} * count;
    case kEnum: case kPrototype: return std::size_t{8} * count;
    default: return 0;
  }
}

bpf_insn instruction(unsigned code, unsigned dst, unsigned src, int off, int imm) {
  bpf_insn made{};
  made.code = static_cast<uint8_t>(code);
  made.dst_reg = dst & 0xf;
  made.src_reg = src & 0xf;
  made.off = static_cast<int16_t>(off);
  made.imm = imm;
  return made;
}

Fd load(const bpf_insn* code, std::size_t count) {
  static constexpr char kLicense[] = "GPL";  // what the functions that are called are offered under
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attr.insns = reinterpret_cast<uintptr_t>(code);
  attr.insn_cnt = static_cast<uint32_t>(count);
  attr.license = reinterpret_cast<uintptr_t>(kLicense);
  return Fd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr)));
}

uint32_t run_program(int program, uint64_t first, uint64_t second) {
  std::array<uint64_t, 12> arguments{first, second};
  bpf_attr attr{};
  attr.test.prog_fd = static_cast<uint32_t>(program);
  attr.test.ctx_in = reinterpret_cast<uintptr_t>(arguments.data());
  attr.test.ctx_size_in = sizeof arguments;
  if (::syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) != 0) throw_errno("reading the kernel's structures", "bpf");
  return attr.test.retval;
}

// (CPU): four bytes, from `byte` on, of the address of the array, or of its element on that CPU. An address is nothing to reckon
// with, until it has been read back from the stack.
Fd load_array_program(int array, bool element, int byte) {
  constexpr int kLookupPerCpu = 195;  // bpf_map_lookup_percpu_elem, Linux 5.19
  std::vector<bpf_insn> code = {
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0),
      instruction(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
      instruction(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -16, 0),
      instruction(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, array),
      instruction(0, 0, 0, 0, 0),
  };
  if (element) {
    code.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0));
    code.push_back(instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -8));
    code.push_back(instruction(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_3, BPF_REG_6, 0, 0));
    code.push_back(instruction(BPF_JMP | BPF_CALL, 0, 0, 0, kLookupPerCpu));
    code.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_0, 0, 0));
  }
  const std::array<bpf_insn, 8> rest = {
      instruction(BPF_STX | BPF_MEM | BPF_DW, BPF_REG_10, BPF_REG_1, -24, 0),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -16),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 4),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_10, 0, 0),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, -24 + byte),
      instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_10, -16, 0),
  };
  code.insert(code.end(), rest.begin(), rest.end());
  code.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return load(code.data(), code.size());
}

// (address, shift): four bytes at the address; without one, the address of the calling task's structure, shifted.
Fd load_program() {
  const std::array<bpf_insn, 14> code = {
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0),
      instruction(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_3, BPF_REG_6, 0, 0),
      instruction(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
      instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 4, 0),
      instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_task),
      instruction(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_6, 8, 0),
      instruction(BPF_ALU64 | BPF_RSH | BPF_X, BPF_REG_0, BPF_REG_2, 0, 0),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -8),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 4),
      instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
      instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_10, -8, 0),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return load(code.data(), code.size());
}

}  // namespace

std::optional<KernelReader> KernelReader::open() {
  Fd program = load_program();
  const Fd types = try_open("/sys/kernel/btf/vmlinux", O_RDONLY);
  if (!program || !types) return std::nullopt;
  try {
    return KernelReader(std::move(program), read_fd(types.get(), "/sys/kernel/btf/vmlinux"));
  } catch (const Error&) {
    return std::nullopt;
  }
}

KernelReader::KernelReader(Fd program, std::string types) : program_(std::move(program)), types_(std::move(types)) {
  const auto bad = [] { return Error(ErrorCode::unsupported, "reading the kernel's types", "they are not as expected"); };
  if (types_.size() < kHeaderBytes || (at(0) & 0xffff) != 0xeb9f) throw bad();
  const std::size_t header = at(4);
  std::size_t place = header + at(8);
  const std::size_t end = place + at(12);
  names_ = header + at(16);
  if (end > types_.size() || names_ > types_.size()) throw bad();
  places_.push_back(0);
  while (place + 12 <= end) {
    if (places_.size() > kMaxTypes) throw bad();
    const uint32_t info = at(place + 4);
    const uint32_t kind = info >> 24 & 0x1f;
    if (kind == 0 || kind > kEnum64) throw bad();
    places_.push_back(static_cast<uint32_t>(place));
    place += 12 + tail_of(kind, info & 0xffff);
  }
}

uint32_t KernelReader::at(std::size_t offset) const {
  uint32_t value = 0;
  if (offset + sizeof value <= types_.size()) std::memcpy(&value, types_.data() + offset, sizeof value);
  return value;
}

std::string_view KernelReader::name_at(uint32_t offset) const {
  if (names_ + offset >= types_.size()) return {};
  const std::string_view rest = std::string_view(types_).substr(names_ + offset);
  return rest.substr(0, rest.find('\0'));
}

// Depth is bounded by the file: a type refers to its parts by number, and only anonymous ones are looked into.
std::optional<uint64_t> KernelReader::find_member(uint32_t type, std::string_view member) const {
  for (int turn = 0; turn < 8; ++turn) {
    if (type == 0 || type >= places_.size()) return std::nullopt;
    const std::size_t place = places_[type];
    const uint32_t info = at(place + 4);
    const uint32_t kind = info >> 24 & 0x1f;
    if (kind == kTypedef || kind == kConst || kind == kVolatile) {
      type = at(place + 8);
      continue;
    }
    if (kind != kStruct && kind != kUnion) return std::nullopt;
    for (uint32_t i = 0; i < (info & 0xffff); ++i) {
      const std::size_t entry = place + 12 + std::size_t{12} * i;
      const std::string_view name = name_at(at(entry));
      const uint64_t bits = (info >> 31) != 0 ? at(entry + 8) & 0xffffff : at(entry + 8);
      if (name == member) return bits / 8;
      if (!name.empty() || at(entry + 4) == type) continue;
      if (const auto inside = find_member(at(entry + 4), member)) return bits / 8 + *inside;
    }
    return std::nullopt;
  }
  return std::nullopt;
}

uint64_t KernelReader::offset(std::string_view structure, std::string_view member) const {
  for (uint32_t type = 1; type < places_.size(); ++type) {
    if ((at(places_[type] + 4) >> 24 & 0x1f) != kStruct || name_at(at(places_[type])) != structure) continue;
    if (const auto offset = find_member(type, member)) return *offset;
  }
  throw Error(ErrorCode::unsupported, "reading the kernel's types", fmt::format("struct {} has no {}", structure, member));
}

uint32_t KernelReader::run(uint64_t address, uint64_t shift) const { return run_program(program_.get(), address, shift); }

// An array that has an element on each CPU: its own number (what the kernel keeps in it) and where the elements are.
std::vector<uint64_t> KernelReader::cpu_offsets() const {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_PERCPU_ARRAY;
  attr.key_size = sizeof(uint32_t);
  attr.value_size = sizeof(uint64_t);
  attr.max_entries = 1;
  const Fd array(static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr)));
  if (!array) return {};
  const Fd array_low = load_array_program(array.get(), false, 0), array_high = load_array_program(array.get(), false, 4);
  const Fd low = load_array_program(array.get(), true, 0), high = load_array_program(array.get(), true, 4);
  if (!array_low || !array_high || !low || !high) return {};
  const auto ask = [](const Fd& lower, const Fd& upper, uint64_t cpu) {
    return run_program(lower.get(), cpu, 0) | uint64_t{run_program(upper.get(), cpu, 0)} << 32;
  };
  const uint64_t number = word(ask(array_low, array_high, 0) + offset("bpf_array", "pptrs"));
  if (number == 0) return {};
  std::vector<uint64_t> offsets;
  const long cpus = ::sysconf(_SC_NPROCESSORS_CONF);
  for (long cpu = 0; cpu < cpus; ++cpu) {
    const uint64_t address = ask(low, high, static_cast<uint64_t>(cpu));
    if (address == 0) return {};
    offsets.push_back(address - number);
  }
  return offsets;
}

uint64_t KernelReader::current_task() const { return run(0, 0) | uint64_t{run(0, 32)} << 32; }
uint32_t KernelReader::half(uint64_t address) const { return address == 0 ? 0 : run(address, 0); }
uint64_t KernelReader::word(uint64_t address) const { return half(address) | uint64_t{half(address + 4)} << 32; }

}  // namespace crx
