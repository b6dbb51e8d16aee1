// Runs an iterator program of the kernel's (BPF_TRACE_ITER, https://docs.kernel.org/bpf/bpf_iterators.html) and reads
// what it writes.
#pragma once

#include <sys/types.h>

#include <cstring>
#include <string>
#include <vector>

namespace crx {

// What a program is run for.
struct IteratorScope {
  pid_t tid = 0;      // this thread alone, or
  pid_t process = 0;  // all threads of this process; both 0: whatever the program's kind iterates over
};

// All that the program writes. `program`: its descriptor. Twenty microseconds and what the program takes. A thread or
// process that has ended gives an empty result. Throws Error(kernel).
std::string run_iterator(int program, const IteratorScope& scope = {});

// The same of a program that writes records of one type.
template <typename Record>
std::vector<Record> run_iterator_for(int program, const IteratorScope& scope) {
  const std::string bytes = run_iterator(program, scope);
  std::vector<Record> records(bytes.size() / sizeof(Record));
  if (!records.empty()) std::memcpy(records.data(), bytes.data(), records.size() * sizeof(Record));
  return records;
}

}  // namespace crx
