// Runs a BPF iterator program (BPF_TRACE_ITER, https://docs.kernel.org/bpf/bpf_iterators.html) and reads its output.
#pragma once

#include <sys/types.h>

#include <cstring>
#include <string>
#include <vector>

namespace crx {

// The objects over which a program iterates.
struct IteratorScope {
  pid_t tid = 0;      // only this thread, or
  pid_t process = 0;  // all threads of this process; both 0: all objects of the program's kind
};

// Runs a program once and returns everything that it writes. program: its descriptor, not owned. This takes twenty
// microseconds in addition to the program's own time. The result is empty for a thread or process that has ended.
// Throws Error(kernel).
std::string run_iterator(int program, const IteratorScope& scope = {});

// The same for a program that writes records of one type; an incomplete record at the end is left out.
template <typename Record>
std::vector<Record> run_iterator_for(int program, const IteratorScope& scope) {
  const std::string bytes = run_iterator(program, scope);
  std::vector<Record> records(bytes.size() / sizeof(Record));
  if (!records.empty()) std::memcpy(records.data(), bytes.data(), records.size() * sizeof(Record));
  return records;
}

}  // namespace crx
