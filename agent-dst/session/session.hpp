// One migration: reads its connections and passes checked messages and decoded pages to the engine, in order. Includes
// Asio: only .cpp files of this folder include this header.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/ipc/session_figures.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/session/engine_port.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "wire/connection/control_stream.hpp"
#include "wire/page_codec.hpp"

namespace crx::session {

// All calls must come from the process's only thread. Order: each connection is read in its own order. Data that
// follows the n-th end mark on any connection is held back until all connections have brought their n-th mark, and a
// batch until the messages that were sent before it have been delivered.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::string id, unsigned data_streams, bool wait_for_exit, std::shared_ptr<wire::Channel> control,
          std::unique_ptr<EnginePort> engine, ipc::SharedFigures& figures);

  // To be called before run(): ends the session when the source sends nothing but pings for so long, until Go.
  void limit_idleness(int64_t ms) { idle_ms_ = ms; }
  // To be called before run(): images are parsed and written again before the engine gets them. Not for sets that are
  // stored, byte for byte.
  void rewrite_images() { rewrites_images_ = true; }
  // Serves the session from Hello until everything has ended; never throws.
  asio::awaitable<void> run(std::string hello);
  // Serves a data connection that has sent Join, until it or the session ends. Throws Error(peer).
  asio::awaitable<void> run_data(std::shared_ptr<wire::Channel> channel, uint32_t stream);

  // Called for notices from the supervisor: the engine, or the restored root, has ended.
  void engine_exited(const ipc::SupervisorNotice& notice);
  void root_exited(int wait_status);
  // The agent is to stop: stop waiting for the exit of the root.
  void stop();

  const std::string& id() const { return id_; }
  // `tell` is called once, when the engine reports to the source that preflight refuses the tree.
  void on_refusal(std::function<void()> tell) { on_refusal_ = std::move(tell); }

 private:
  asio::awaitable<void> read_control();
  asio::awaitable<void> on_message(std::string payload);
  asio::awaitable<void> read_engine();
  asio::awaitable<void> finish();
  asio::awaitable<void> watch_idleness();
  asio::awaitable<void> read_batch(std::shared_ptr<wire::Channel> channel, uint32_t stream, std::size_t length,
                                   wire::Decompressor& decompressor, std::vector<std::byte>& scratch);
  asio::awaitable<uint32_t> take_slot();
  asio::awaitable<void> reach_mark(uint32_t stream, uint32_t round);
  asio::awaitable<void> changed();
  void notify() { changed_.cancel(); }
  void send(const wire::SessionMessage& message);
  void be_active() { active_us_ = monotonic_us(); }
  void note(const wire::SessionMessage& message);  // updates the counters by messages in both directions
  void note_resumed(const wire::Resumed& resumed);
  void count_bytes(const wire::FrameHeader& header);
  void count_pages(const wire::PageBatch& batch);
  void explain_exit();
  void connection_ended(const std::exception_ptr& thrown, const std::string& in_order);
  void lose(const std::string& reason);
  void check_open() const;

  std::string id_;
  bool wait_for_exit_, rewrites_images_ = false;
  std::shared_ptr<wire::ControlStream> control_;
  std::unique_ptr<EnginePort> engine_;
  asio::steady_timer changed_;   // never expires: cancelled when anything below changes
  std::vector<uint32_t> marks_;  // end marks read, by stream; stream 0 is the control connection
  std::vector<std::shared_ptr<wire::Channel>> data_;
  uint32_t epoch_ = 0;     // end marks delivered
  uint32_t messages_ = 0;  // messages delivered
  bool source_gone_ = false, engine_gone_ = false, stopping_ = false, writer_done_ = false;
  bool prepared_ = false, go_ = false;  // Prepared has come from the engine; Go has come from the source
  wire::SessionMessage::BodyCase last_sent_ = wire::SessionMessage::BODY_NOT_SET;
  std::optional<ipc::SupervisorNotice> exit_;
  std::optional<int> root_status_;
  std::function<void()> on_refusal_;
  ipc::SharedFigures& figures_;
  int64_t active_us_;  // when the source or the engine last did something
  int64_t idle_ms_ = INT64_MAX / 1000;
  asio::steady_timer idle_timer_;
  int64_t stopped_us_ = -1;  // time for which the tree had been stopped when Go came; -1: it has not come
};

}  // namespace crx::session
