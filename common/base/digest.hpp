// Content digests: XXH3, fast and not cryptographic. They find accidents, not forgeries; what comes from a peer
// is authenticated by TLS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace crx {

// 128 bits in XXH3's canonical (big endian) byte order.
struct Digest128 {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const Digest128&) const = default;
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  // 32 lower-case hex digits.
  std::string hex() const;
};

uint64_t digest64(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;
uint64_t digest64(std::string_view text, uint64_t seed = 0) noexcept;
Digest128 digest128(std::span<const std::byte> bytes) noexcept;

// The same in pieces; the result does not depend on how the input was cut.
class Digester {
 public:
  Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;
  ~Digester();
  void add(std::span<const std::byte> bytes) noexcept;
  void add_u64(uint64_t value) noexcept;  // its eight bytes, little endian
  Digest128 finish128() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a whole regular file, from its start (pread: the position is not touched). Throws Error naming `name`.
Digest128 digest_file(int fd, const std::string& name);

}  // namespace crx
