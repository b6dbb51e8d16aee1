#include "wire/source/source_queues.hpp"

#include <chrono>

namespace crx::wire {

void SourceQueues::push_batch(std::shared_ptr<OutgoingBatch> batch) {
  const std::lock_guard lock(mutex_);
  batch->epoch = static_cast<uint32_t>(rounds_.size());
  batches_.push_back(std::move(batch));
}

void SourceQueues::mark_ready(const std::shared_ptr<OutgoingBatch>& batch) {
  const std::lock_guard lock(mutex_);
  batch->ready = true;
}

void SourceQueues::end_round(uint32_t round) {
  const std::lock_guard lock(mutex_);
  rounds_.push_back(round);
}

std::optional<SessionMessage> SourceQueues::receive(Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (inbox_.empty() && !lost_) {
    const int64_t left_ns = deadline.left_ns();
    if (left_ns <= 0) return std::nullopt;
    if (left_ns == INT64_MAX)
      arrived_.wait(lock);
    else
      arrived_.wait_for(lock, std::chrono::nanoseconds(left_ns));
  }
  if (inbox_.empty()) throw Error(*lost_);
  SessionMessage message = std::move(inbox_.front());
  inbox_.pop_front();
  return message;
}

void SourceQueues::throw_if_lost() const {
  const std::lock_guard lock(mutex_);
  if (lost_) throw Error(*lost_);
}

SourceQueues::Work SourceQueues::take(StreamPlace& place) {
  const std::lock_guard lock(mutex_);
  Work work;
  if (lost_) {
    work.kind = Work::Kind::stop;
    return work;
  }
  const bool batch_of_epoch = !batches_.empty() && batches_.front()->epoch <= place.epoch;
  if (!batch_of_epoch && place.epoch < rounds_.size()) {
    // This stream has sent all batches of its epoch, so its mark follows. Batches of the epoch that other streams have
    // taken precede those streams' marks.
    work.kind = Work::Kind::mark;
    work.round = rounds_[place.epoch++];
  } else if (batch_of_epoch && batches_.front()->ready) {
    work.kind = Work::Kind::batch;
    work.batch = std::move(batches_.front());
    batches_.pop_front();
  } else if (batches_.empty() && closed_) {
    work.kind = Work::Kind::stop;
  }
  return work;
}

void SourceQueues::deliver(SessionMessage message) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(message));
  }
  arrived_.notify_one();
}

void SourceQueues::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_) lost_ = error;
    batches_.clear();
  }
  arrived_.notify_all();
}

bool SourceQueues::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_.has_value();
}

void SourceQueues::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

}  // namespace crx::wire
