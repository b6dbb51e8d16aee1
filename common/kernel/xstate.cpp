#include "common/kernel/xstate.hpp"

#include <cpuid.h>

#include <cstring>

namespace crx::xstate {

Place place_of(unsigned component) {
  if (component == kX87 || component == kSse) return {0, kLegacyBytes};
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(0xd, component, &eax, &ebx, &ecx, &edx) == 0) return {};
  return {ebx, eax};
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
