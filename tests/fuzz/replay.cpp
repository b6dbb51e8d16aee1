// The main function of a fuzz target in a build without libFuzzer: runs every seed, shorter forms of it, and a fixed
// sequence of random changes. A crash, or an exception that leaves the target, fails the test.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

constexpr std::size_t kChanges = CRX_REPLAYS;  // all seeds together
constexpr std::size_t kShorter = CRX_REPLAYS;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string changed(std::string input, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (std::size_t count = 1 + below(4); count > 0 && !input.empty(); --count) {
    const std::size_t at = below(input.size());
    switch (below(4)) {
      case 0:
        input[at] = static_cast<char>(below(256));
        break;
      case 1:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 2:
        input.erase(at, 1 + below(8));
        break;
      default:
        input.insert(at, input.substr(below(input.size()), 1 + below(16)));
        break;
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::mt19937 random(1);
  std::vector<std::string> seeds;
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream stream(file.path(), std::ios::binary);
      seeds.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
  }
  std::sort(seeds.begin(), seeds.end());  // the order of a directory is not always the same
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  for (const std::string& seed : seeds) {
    run(seed);
    const std::size_t step = std::max<std::size_t>(seed.size() * seeds.size() / kShorter, 1);
    for (std::size_t size = 0; size < seed.size(); size += step) run(seed.substr(0, size));
    for (std::size_t n = 0; n < std::max<std::size_t>(kChanges / seeds.size(), 1); ++n) run(changed(seed, random));
  }
  std::printf("%zu seeds\n", seeds.size());
  return seeds.empty() ? 1 : 0;
}
