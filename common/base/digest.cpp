#include "common/base/digest.hpp"

#include <unistd.h>
#include <xxhash.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/error.hpp"

namespace crx {
namespace {

static_assert(std::endian::native == std::endian::little);

Digest128 canonical(XXH128_hash_t hash) noexcept {
  XXH128_canonical_t bytes;
  ::XXH128_canonicalFromHash(&bytes, hash);
  Digest128 out;
  std::memcpy(out.bytes.data(), bytes.digest, out.bytes.size());
  return out;
}

}  // namespace

std::string Digest128::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

uint64_t digest64(std::span<const std::byte> bytes, uint64_t seed) noexcept {
  return ::XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t digest64(std::string_view text, uint64_t seed) noexcept {
  return ::XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

Digest128 digest128(std::span<const std::byte> bytes) noexcept {
  return canonical(::XXH3_128bits(bytes.data(), bytes.size()));
}

struct Digester::State {
  XXH3_state_t* xxh = ::XXH3_createState();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::XXH3_freeState(xxh); }
};

Digester::Digester() : state_(std::make_unique<State>()) {
  if (state_->xxh == nullptr) throw std::bad_alloc();
  ::XXH3_128bits_reset(state_->xxh);
}
Digester::Digester(Digester&&) noexcept = default;
Digester& Digester::operator=(Digester&&) noexcept = default;
Digester::~Digester() = default;

void Digester::add(std::span<const std::byte> bytes) noexcept {
  ::XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}
void Digester::add_u64(uint64_t value) noexcept {
  ::XXH3_128bits_update(state_->xxh, &value, sizeof value);
}
Digest128 Digester::finish128() const noexcept {
  return canonical(::XXH3_128bits_digest(state_->xxh));
}

Digest128 digest_file(int fd, const std::string& name, const std::function<void(uint64_t bytes)>& before_piece) {
  Digester digester;
  std::vector<std::byte> buffer(std::size_t{1} << 18);
  for (off_t at = 0;;) {
    if (before_piece) before_piece(buffer.size());
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("reading a file for its digest", name);
    if (n == 0) return digester.finish128();
    digester.add({buffer.data(), static_cast<std::size_t>(n)});
    at += n;
  }
}

}  // namespace crx
