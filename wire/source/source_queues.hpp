// The queues between the source's engine thread and the threads of its connections.
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

// An outgoing page batch.
struct OutgoingBatch {
  std::string head;
  PageBuffer buffer;
  std::size_t content_bytes = 0;
  uint64_t page_bytes = 0;  // of all its pages, those that are all zero too
  uint32_t epoch = 0;       // number of rounds that ended before it
  bool ready = false;       // encoded; set under the lock of the queues
};

// Thread-safe.
class SourceQueues {
 public:
  // The position of a data stream: the number of rounds whose end marks it has sent.
  struct StreamPlace {
    uint32_t epoch = 0;
  };
  // The next work item of a data stream.
  struct Work {
    enum class Kind { nothing, batch, mark, stop } kind = Kind::nothing;
    std::shared_ptr<OutgoingBatch> batch;
    uint32_t round = 0;  // for a mark
  };

  // ---- called by the engine thread
  void push_batch(std::shared_ptr<OutgoingBatch> batch);  // in order; the batch may become ready later
  void mark_ready(const std::shared_ptr<OutgoingBatch>& batch);
  void end_round(uint32_t round);
  // The next message; nullopt at the deadline. Once all messages are consumed it throws the error that was passed to
  // fail().
  std::optional<SessionMessage> receive(Deadline deadline);
  void throw_if_lost() const;

  // ---- called by the threads of the connections
  Work take(StreamPlace& place);
  void deliver(SessionMessage message);
  // The first error is kept. Idempotent.
  void fail(const Error& error);
  bool lost() const;
  // Streams get `stop` once the queues are empty.
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
