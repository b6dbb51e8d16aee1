#include "common/kernel/introspect/sleep_reader.hpp"

#include "common/kernel/introspect/bpf/records.h"
#include "common/kernel/introspect/bpf_iterator.hpp"

namespace crx {
namespace {

constexpr int kSleepAttempts = 5;
constexpr int64_t kNsPerSecond = 1'000'000'000;

RestartBlock from_record(const crx_restart_record& record) {
  RestartBlock block;
  block.sleep = {record.sleep_clock, record.remainder_addr, record.sleep_due_ns};
  block.futex = {record.futex_addr, record.futex_due_ns};
  const bool plain = record.poll_seconds >= 0 && record.poll_seconds < INT64_MAX / kNsPerSecond - 1 &&
                     record.poll_nanoseconds >= 0 && record.poll_nanoseconds < kNsPerSecond;
  block.poll = {record.poll_addr, record.poll_has_limit != 0,
                plain ? record.poll_seconds * kNsPerSecond + record.poll_nanoseconds : INT64_MAX};
  return block;
}

}  // namespace

int SleepReader::open(std::optional<SleepReader>& reader) {
  crx_sleep_programs programs{};
  const int error = crx_load_sleep_programs(&programs);
  if (error == 0) reader = SleepReader(programs);
  return error;
}

std::optional<ThreadSleep> SleepReader::timer_of(pid_t tid) const {
  for (int attempt = 0; attempt < kSleepAttempts; ++attempt) {
    const auto records = run_iterator_for<crx_timer_record>(programs_.timers, {.tid = tid});
    if (records.size() != 1 || records[0].runs != 0) return std::nullopt;
    if (records[0].changed != 0) continue;
    ThreadSleep timer{records[0].switches, std::nullopt};
    if (records[0].armed != 0) timer.due_ns = records[0].due_ns;
    return timer;
  }
  return std::nullopt;
}

std::map<pid_t, RestartBlock> SleepReader::restart_blocks(pid_t pid) const {
  std::map<pid_t, RestartBlock> blocks;
  for (const auto& record : run_iterator_for<crx_restart_record>(programs_.restart_blocks, {.process = pid})) {
    if (record.changed == 0) blocks[record.tid] = from_record(record);
  }
  return blocks;
}

}  // namespace crx
