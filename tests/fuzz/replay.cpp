// The main function of a fuzz target in a build without libFuzzer: runs every seed, every shorter form of it, and a
// fixed sequence of random changes. A crash, or an exception that leaves the target, fails the test.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kChanges = 300;

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
  int seeds = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream stream(file.path(), std::ios::binary);
      const std::string seed((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
      run(seed);
      for (std::size_t size = 0; size < seed.size(); ++size) run(seed.substr(0, size));
      for (int n = 0; n < kChanges; ++n) run(changed(seed, random));
      ++seeds;
    }
  }
  std::printf("%d seeds\n", seeds);
  return seeds > 0 ? 0 : 1;
}
