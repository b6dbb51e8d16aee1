#include "common/kernel/introspect/kernel_reader.hpp"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr int kElement = 4096;      // bytes of the array's, KernelReader::kMostBytes
constexpr int kLookupPerCpu = 195;  // bpf_map_lookup_percpu_elem, Linux 5.19
constexpr uint32_t kFailed = 1;

int bpf(int command, bpf_attr& attr) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attr, sizeof attr));
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

bpf_insn move(unsigned dst, unsigned src) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}
bpf_insn set(unsigned dst, int value) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value);
}
bpf_insn load(unsigned dst, unsigned at, int off) {
  return instruction(BPF_LDX | BPF_MEM | BPF_DW, dst, at, off, 0);
}
bpf_insn store(unsigned at, int off, unsigned src) {
  return instruction(BPF_STX | BPF_MEM | BPF_DW, at, src, off, 0);
}
bpf_insn call(int function) {
  return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, function);
}
bpf_insn jump_over(unsigned code, unsigned reg, int value, int count) {
  return instruction(BPF_JMP | code | BPF_K, reg, 0, count, value);
}
bpf_insn leave() {
  return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}
constexpr bpf_insn kNone{};  // the second half of a long one
// The array itself, or (BPF_PSEUDO_MAP_VALUE) its element.
bpf_insn array_at(unsigned dst, unsigned what, const Fd& array) {
  return instruction(BPF_LD | BPF_IMM | BPF_DW, dst, what, 0, array.get());
}

template <std::size_t N>
Fd load_program(const std::array<bpf_insn, N>& code) {
  static constexpr char kLicense[] = "GPL";  // what the functions that are called are offered under
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attr.insns = reinterpret_cast<uintptr_t>(code.data());
  attr.insn_cnt = static_cast<uint32_t>(code.size());
  attr.license = reinterpret_cast<uintptr_t>(kLicense);
  return Fd(bpf(BPF_PROG_LOAD, attr));
}

Fd make_array(uint32_t type, uint32_t flags, uint32_t bytes) {
  bpf_attr attr{};
  attr.map_type = type;
  attr.key_size = sizeof(uint32_t);
  attr.value_size = bytes;
  attr.max_entries = 1;
  attr.map_flags = flags;
  return Fd(bpf(BPF_MAP_CREATE, attr));
}

uint32_t run(const Fd& program, uint64_t first, uint64_t second) {
  std::array<uint64_t, 12> arguments{first, second};
  bpf_attr attr{};
  attr.test.prog_fd = static_cast<uint32_t>(program.get());
  attr.test.ctx_in = reinterpret_cast<uintptr_t>(arguments.data());
  attr.test.ctx_size_in = sizeof arguments;
  if (bpf(BPF_PROG_TEST_RUN, attr) != 0) throw_errno("reading the kernel's structures", "bpf");
  return attr.test.retval;
}

// (address, bytes): copies them to the array's element; without bytes, the address of the calling task's structure.
Fd load_copying(const Fd& room) {
  const std::array<bpf_insn, 17> code = {
      load(BPF_REG_3, BPF_REG_1, 0),
      load(BPF_REG_2, BPF_REG_1, 8),
      array_at(BPF_REG_6, BPF_PSEUDO_MAP_VALUE, room),
      kNone,
      jump_over(BPF_JNE, BPF_REG_2, 0, 4),
      call(BPF_FUNC_get_current_task),
      store(BPF_REG_6, 0, BPF_REG_0),
      set(BPF_REG_0, 0),
      leave(),
      set(BPF_REG_0, kFailed),
      jump_over(BPF_JGT, BPF_REG_2, kElement, 5),
      move(BPF_REG_1, BPF_REG_6),
      call(BPF_FUNC_probe_read_kernel),
      jump_over(BPF_JEQ, BPF_REG_0, 0, 2),
      set(BPF_REG_0, kFailed),
      leave(),
      leave(),
  };
  return load_program(code);
}

// (CPU): the addresses of an array that has an element on each CPU, and of that element, to `room`.
Fd load_finding(const Fd& array, const Fd& room) {
  const std::array<bpf_insn, 15> code = {
      load(BPF_REG_3, BPF_REG_1, 0),
      instruction(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
      move(BPF_REG_2, BPF_REG_10),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -8),
      array_at(BPF_REG_1, BPF_PSEUDO_MAP_FD, array),
      kNone,
      call(kLookupPerCpu),
      array_at(BPF_REG_6, BPF_PSEUDO_MAP_VALUE, room),
      kNone,
      array_at(BPF_REG_7, BPF_PSEUDO_MAP_FD, array),
      kNone,
      store(BPF_REG_6, 0, BPF_REG_7),
      store(BPF_REG_6, 8, BPF_REG_0),
      set(BPF_REG_0, 0),
      leave(),
  };
  return load_program(code);
}

}  // namespace

std::optional<KernelReader> KernelReader::open() {
  static_assert(kElement == kMostBytes);
  try {
    const Fd room = make_array(BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, kElement);
    if (!room) return std::nullopt;
    Fd program = load_copying(room);
    if (!program) return std::nullopt;
    std::optional<KernelTypes> types = KernelTypes::open();
    if (!types) return std::nullopt;
    return KernelReader(std::move(program), Mapping::map(kElement, PROT_READ, MAP_SHARED, room.get()),
                        std::move(*types));
  } catch (const Error&) {
    return std::nullopt;
  }
}

KernelReader::KernelReader(Fd program, Mapping room, KernelTypes types)
    : program_(std::move(program)), room_(std::move(room)), types_(std::move(types)) {}

uint64_t KernelReader::current_task() const {
  run(program_, 0, 0);
  uint64_t task = 0;
  std::memcpy(&task, room_.data(), sizeof task);
  return task;
}

bool KernelReader::copy(uint64_t address, void* to, std::size_t bytes) const {
  if (bytes == 0 || run(program_, address, bytes) != 0) return false;
  std::memcpy(to, room_.data(), bytes);
  return true;
}

// An array that has an element on each CPU: its own number (what the kernel keeps in it) and where the elements are.
std::vector<uint64_t> KernelReader::cpu_offsets() const {
  struct {
    uint64_t array, element;
  } found{};
  const Fd room = make_array(BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, kElement);
  const Fd array = make_array(BPF_MAP_TYPE_PERCPU_ARRAY, 0, sizeof(uint64_t));
  if (!room || !array) return {};
  const Fd program = load_finding(array, room);
  if (!program) return {};
  const Mapping seen = Mapping::map(kElement, PROT_READ, MAP_SHARED, room.get());
  const uint64_t numbers = offset("bpf_array", "pptrs");
  std::vector<uint64_t> offsets;
  const long cpus = ::sysconf(_SC_NPROCESSORS_CONF);
  for (long cpu = 0; cpu < cpus; ++cpu) {
    run(program, static_cast<uint64_t>(cpu), 0);
    std::memcpy(&found, seen.data(), sizeof found);
    const uint64_t number = word(found.array + numbers);
    if (number == 0 || found.element == 0) return {};
    offsets.push_back(found.element - number);
  }
  return offsets;
}

}  // namespace crx
