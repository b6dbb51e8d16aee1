// Content digests: XXH3, which is fast and not cryptographic. They detect accidents, not forgery; data from a peer is
// authenticated by TLS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
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

// XXH3-64 and XXH3-128 of a byte sequence.
uint64_t digest64(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;
uint64_t digest64(std::string_view text, uint64_t seed = 0) noexcept;
Digest128 digest128(std::span<const std::byte> bytes) noexcept;

// Computes the same digests from input that comes in pieces; the result does not depend on how the input was cut.
class Digester {
 public:
  // Starts with no input.
  Digester();
  Digester(Digester&&) noexcept;
  Digester& operator=(Digester&&) noexcept;
  ~Digester();
  void add(std::span<const std::byte> bytes) noexcept;
  void add_u64(uint64_t value) noexcept;  // adds the eight bytes of value, little endian
  Digest128 finish128() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The digest of a whole regular file, read from its start with pread(2), so that the file position does not change.
// before_piece: called before each piece of at most 256 KiB is read, to stop by throwing. Throws Error naming `name`.
Digest128 digest_file(int fd, const std::string& name, const std::function<void(uint64_t bytes)>& before_piece = {});

}  // namespace crx
