// A crx-agent in a process of its own, whose engine does what the test's messages request.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "agent-dst/supervisor/agent.hpp"
#include "common/base/journal.hpp"
#include "tests/unit/certificates.hpp"
#include "wire/source/connect.hpp"

namespace crx::test {

// The engine's answers:
// - Hello: Welcome.
// - Preflight, by the name of the task: "fail": a Failure; "crash": the engine aborts; "hang": it waits without reading
//   until it is killed; "killed by go": PreflightResult, and the next Go kills it; "policy": PreflightResult with
//   Policy::max_memory as the object of a finding; any other: PreflightResult.
// - Pages are added up; the end of a round: RoundDone with the number of pages and a sum over their bytes in apply_us.
// - Images: the same back.
// - Prepare: writes the journal, then Prepared.
// - Go: writes the journal, forks a root that exits with 7, then Resumed.
int test_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options);
// Returns what a page adds to the sum of its round.
uint64_t page_sum(uint64_t addr, const std::byte* page);

class TestAgent {
 public:
  // Forks; the agent is ready when this returns. Fills listen, tls_dir and store if they are empty.
  explicit TestAgent(AgentOptions options = {}, const EngineMain& engine = test_engine);
  ~TestAgent();
  TestAgent(const TestAgent&) = delete;
  TestAgent& operator=(const TestAgent&) = delete;

  wire::ConnectOptions to(const std::string& tls_dir = {}) const;  // for a new session
  uint16_t port() const { return port_; }
  pid_t pid() const { return pid_; }
  const std::string& store() const { return store_; }
  const TestCa& ca() const { return ca_; }
  const std::string& dir() const { return dir_.path(); }
  int wait();  // returns its exit code
  void stop();

 private:
  TempDir dir_;
  TestCa ca_;
  std::string store_;
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

}  // namespace crx::test
