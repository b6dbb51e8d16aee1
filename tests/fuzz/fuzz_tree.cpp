// Layouts and plans of forks from a peer, up to the point at which the first process would be forked: the tree is
// announced, the plan is tried on the model, and the changes of each address space are computed.
#include <cstdlib>
#include <map>
#include <vector>

#include "agent-dst/vessel/layout.hpp"
#include "common/base/error.hpp"
#include "common/plan/forked_tree.hpp"
#include "tests/fuzz/input.hpp"
#include "wire/tree_message.hpp"

namespace {

using namespace crx;

class Followed {
 public:
  void follow(const wire::Layout& layout) {
    std::vector<TaskNode> tasks = wire::task_nodes(layout.tasks());
    const ForkPlan plan = wire::fork_plan(layout.forks());
    if (!why_no_tree(tasks).empty() || plan.size() > 256) return;
    ForkedTree trial = tree_;
    bool fits = true;
    for (const ForkStep& step : plan) fits = fits && trial.apply(step, tasks).empty();
    if (fits && trial.difference(tasks, false).empty()) {
      static_cast<void>(trial.difference(tasks, true));
      if (trial.newest_first().size() != trial.processes().size()) std::abort();
      tree_ = trial;
    }
    for (const wire::SpaceLayout& space : layout.spaces()) map(space);
  }

 private:
  void map(const wire::SpaceLayout& space) {
    img::mm_entry mm;
    if (!mm.ParseFromString(space.mm())) return;
    const std::vector<uint64_t> charged(space.commit_charged().begin(), space.commit_charged().end());
    std::vector<Vma> wanted = vmas_of(mm, charged);
    std::vector<Vma>& current = spaces_[space.space()];
    for (const LayoutChange& change : changes(current, wanted)) {
      if (change.vma.start >= change.vma.end) std::abort();
    }
    if (!changes(wanted, wanted).empty()) std::abort();
    const uint64_t gap = find_gap(wanted, uint64_t{1} << 20);
    for (const Vma& vma : wanted) {
      if (vma.start < gap + (uint64_t{1} << 20) && gap < vma.end) std::abort();
    }
    current = std::move(wanted);
  }

  ForkedTree tree_;
  std::map<uint64_t, std::vector<Vma>> spaces_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  Followed followed;
  try {
    while (!input.empty()) {
      wire::Layout layout;
      if (layout.ParseFromString(std::string(input.piece()))) followed.follow(layout);
    }
  } catch (const Error&) {
  }
  return 0;
}
