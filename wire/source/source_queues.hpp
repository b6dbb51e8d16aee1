// What waits between the source's engine thread and the threads of its connections.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "wire/link.hpp"

namespace crx::wire {

// A page batch on its way out.
struct OutgoingBatch {
  std::string head;
  PageBuffer buffer;
  std::size_t content_bytes = 0;
  uint32_t epoch = 0;  // rounds ended before it
  bool ready = false;  // encoded; set under the queues' lock
};

// Thread-safe.
class SourceQueues {
 public:
  // Where a data stream stands: it has sent the end marks of this many rounds.
  struct StreamPlace {
    uint32_t epoch = 0;
  };
  // What a data stream does next.
  struct Work {
    enum class Kind { nothing, batch, mark, stop } kind = Kind::nothing;
    std::shared_ptr<OutgoingBatch> batch;
    uint32_t round = 0;  // of a mark
  };

  // ---- engine thread
  void push_batch(std::shared_ptr<OutgoingBatch> batch);  // in order; may become ready later
  void mark_ready(const std::shared_ptr<OutgoingBatch>& batch);
  void end_round(uint32_t round);
  // The next message; nothing at the deadline. Throws what fail() was given once the messages are used up.
  std::optional<SessionMessage> receive(Deadline deadline);
  void throw_if_lost() const;

  // ---- threads of the connections
  Work take(StreamPlace& place);
  void deliver(SessionMessage message);
  // The first reason counts. Idempotent.
  void fail(const Error& error);
  bool lost() const;
  // Streams get `stop` once nothing is queued any more.
  void close();

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<OutgoingBatch>> batches_;
  std::vector<uint32_t> rounds_;  // by epoch
  std::deque<SessionMessage> inbox_;
  std::optional<Error> lost_;
  bool closed_ = false;
};

}  // namespace crx::wire
