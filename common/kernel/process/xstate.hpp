// The layout of a thread's extended state (x87, SSE, AVX, AVX-512, PKRU, ...) in the bytes that
// PTRACE_GETREGSET(NT_X86_XSTATE) returns: the standard (not compacted) XSAVE format of this CPU. Intel SDM vol. 1,
// 13.4; CPUID leaf 0xd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace crx::xstate {

inline constexpr std::size_t kLegacyBytes = 512;  // FXSAVE area
// u64: XCR0 of the CPU that wrote the area (a field of the kernel's own)
inline constexpr std::size_t kFeaturesOffset = 464;
inline constexpr std::size_t kHeaderOffset = 512;  // u64 XSTATE_BV, u64 XCOMP_BV, 48 reserved bytes
inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kFirstComponent = kHeaderOffset + kHeaderBytes;

// Component numbers, which are also the bit numbers in XSTATE_BV and XCR0.
enum Component : unsigned {
  kX87 = 0,
  kSse = 1,
  kAvx = 2,  // upper halves of ymm0-15
  kBndRegs = 3,
  kBndCsr = 4,
  kOpmask = 5,    // k0-k7
  kZmmHi256 = 6,  // upper halves of zmm0-15
  kHi16Zmm = 7,   // zmm16-31
  kPkru = 9,
  kTileConfig = 17,  // AMX
  kTileData = 18,
};
inline constexpr uint64_t bit(unsigned component) {
  return uint64_t{1} << component;
}

// The position of a component in the area, in bytes.
struct Place {
  std::size_t offset = 0;
  std::size_t bytes = 0;  // 0: this CPU does not have the component
};
Place place_of(unsigned component);

// Read and write 64-bit words of an area by byte offset. The caller has checked the size of the area.
uint64_t word_at(std::span<const std::byte> area, std::size_t offset);
void set_word_at(std::span<std::byte> area, std::size_t offset, uint64_t value);

// The bytes of a component; empty when the area does not hold it or it is in its initial state.
std::span<const std::byte> component(std::span<const std::byte> area, unsigned number);

}  // namespace crx::xstate
