#include "common/kernel/process/xstate.hpp"

#include <cpuid.h>

#include <array>
#include <cstring>

namespace crx::xstate {

namespace {

constexpr unsigned kComponents = 20;

Place find_place(unsigned component) {
  if (component == kX87 || component == kSse) return {0, kLegacyBytes};
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __cpuid_count(0xd, component, eax, ebx, ecx, edx);
  return {ebx, eax};
}

}  // namespace

// Under a hypervisor every CPUID instruction traps, some microseconds each, so the result is kept.
Place place_of(unsigned component) {
  static const std::array<Place, kComponents> places = [] {
    std::array<Place, kComponents> found{};
    if (__get_cpuid_max(0, nullptr) < 0xd) return found;
    for (unsigned i = 0; i < kComponents; ++i) found[i] = find_place(i);
    return found;
  }();
  return component < kComponents ? places[component] : Place{};
}

uint64_t word_at(std::span<const std::byte> area, std::size_t offset) {
  uint64_t value = 0;
  std::memcpy(&value, area.data() + offset, sizeof value);
  return value;
}

void set_word_at(std::span<std::byte> area, std::size_t offset, uint64_t value) {
  std::memcpy(area.data() + offset, &value, sizeof value);
}

std::span<const std::byte> component(std::span<const std::byte> area, unsigned number) {
  if (area.size() < kFirstComponent || (word_at(area, kHeaderOffset) & bit(number)) == 0) return {};
  const Place place = place_of(number);
  if (place.bytes == 0 || place.offset + place.bytes > area.size()) return {};
  return area.subspan(place.offset, place.bytes);
}

}  // namespace crx::xstate
