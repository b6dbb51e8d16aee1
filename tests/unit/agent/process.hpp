// A crx-agent in a process of its own, whose engine does what the test's messages ask it for.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "agent-dst/supervisor/agent.hpp"
#include "common/base/journal.hpp"
#include "tests/unit/certificates.hpp"

namespace crx::test {

// Answers: Hello -> Welcome; Preflight with a task named
//   "fail" -> a Failure;  "crash" -> the engine aborts;  "hang" -> it waits without reading until it is
//   killed; "killed by go" -> PreflightResult, and Go kills it; else -> PreflightResult;
// pages are added up; a round's end -> RoundDone with the number of pages and a sum over their bytes in
// apply_us; Images -> the same back; Prepare -> journals, Prepared; Go -> journals, forks a root that exits
// with 7, Resumed.
int test_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options);
// What a batch adds to the sum of its round.
uint64_t page_sum(uint64_t addr, const std::byte* page);

class TestAgent {
 public:
  // Forks; ready when this returns. Fills listen, tls_dir, store where they are empty.
  explicit TestAgent(AgentOptions options = {});
  ~TestAgent();
  TestAgent(const TestAgent&) = delete;
  TestAgent& operator=(const TestAgent&) = delete;

  wire::ConnectOptions to(const std::string& tls_dir = {}) const;  // a fresh session
  uint16_t port() const { return port_; }
  pid_t pid() const { return pid_; }
  const std::string& store() const { return store_; }
  const TestCa& ca() const { return ca_; }
  const std::string& dir() const { return dir_.path(); }
  int wait();  // its exit code
  void stop();

 private:
  TempDir dir_;
  TestCa ca_;
  std::string store_;
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

}  // namespace crx::test
