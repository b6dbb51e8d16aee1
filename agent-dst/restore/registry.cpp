#include "agent-dst/restore/registry.hpp"

namespace crx {

// Order matters in plan_last only: credentials take away what the others need.
std::vector<RestorerPtr> make_restorers() {
  std::vector<RestorerPtr> all;
  all.push_back(make_sigactions_restorer());
  all.push_back(make_thread_state_restorer());
  all.push_back(make_signals_restorer());
  all.push_back(make_credentials_restorer());
  return all;
}

}  // namespace crx
