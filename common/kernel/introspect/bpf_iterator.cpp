#include "common/kernel/introspect/bpf_iterator.hpp"

#include <bpf/bpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr char kBpfIteratorStep[] = "reading the kernel's structures";

Fd start(int program, const IteratorScope& scope) {
  bpf_iter_link_info where{};
  LIBBPF_OPTS(bpf_link_create_opts, options);
  if (scope.tid != 0 || scope.process != 0) {
    where.task.tid = static_cast<__u32>(scope.tid);
    where.task.pid = static_cast<__u32>(scope.process);
    options.iter_info = &where;
    options.iter_info_len = sizeof where;
  }
  const Fd link(::bpf_link_create(program, 0, BPF_TRACE_ITER, &options));
  if (!link) throw_errno(kBpfIteratorStep, "attaching the iterator");
  Fd iterator(::bpf_iter_create(link.get()));
  if (!iterator) throw_errno(kBpfIteratorStep, "creating the iterator");
  return iterator;  // the iterator keeps the link alive
}

}  // namespace

std::string run_iterator(int program, const IteratorScope& scope) {
  const Fd iterator = start(program, scope);
  std::string all;
  std::array<char, 32768> part;
  for (;;) {
    const ssize_t bytes = ::read(iterator.get(), part.data(), part.size());
    if (bytes > 0) all.append(part.data(), static_cast<std::size_t>(bytes));
    if (bytes == 0) return all;
    if (bytes < 0 && errno != EINTR && errno != EAGAIN) throw_errno(kBpfIteratorStep, "reading the iterator");
  }
}

}  // namespace crx
