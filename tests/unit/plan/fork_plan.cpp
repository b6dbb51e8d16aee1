#include "common/plan/fork_plan.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "common/base/error.hpp"
#include "common/plan/sharing.hpp"

namespace crx {
namespace {

struct Row {
  pid_t pid, ppid, sid, pgid;
  bool dead = false;
};

std::vector<TaskNode> nodes_of(const std::vector<Row>& rows) {
  std::vector<TaskNode> nodes;
  for (const Row& row : rows) {
    TaskNode& node = nodes.emplace_back();
    node.pid = row.pid;
    node.start_ticks = static_cast<uint64_t>(row.pid) * 7;
    node.ppid = row.ppid;
    node.sid = row.sid;
    node.pgid = row.pgid;
    node.dead = row.dead;
    for (std::size_t kind = 0; kind < 4; ++kind)
      node.groups[kind] = static_cast<uint32_t>(row.pid) * 4 + static_cast<uint32_t>(kind);
  }
  return nodes;
}

std::vector<ForkRequest> requests_of(const std::vector<TaskNode>& nodes, bool replaced = true) {
  std::vector<ForkRequest> requests;
  for (const TaskNode& node : nodes) requests.push_back({.task = node, .replaced = replaced});
  return requests;
}

// Executes both plans as the destination does, from nothing, and tells what differs; forks: the follow() plan's.
std::string outcome(const std::vector<TaskNode>& nodes, ForkPlan* forks = nullptr) {
  ForkPlanner planner;
  ForkedTree tree;
  const auto run = [&](const ForkPlan& plan) {
    for (const ForkStep& step : plan) {
      if (const std::string why = tree.apply(step, nodes); !why.empty()) return why;
    }
    return std::string();
  };
  const ForkPlan first = planner.follow(requests_of(nodes));
  if (forks != nullptr) *forks = first;
  if (std::string why = run(first); !why.empty()) return why;
  if (std::string why = tree.difference(nodes, false); !why.empty()) return why;
  if (std::string why = run(planner.finish()); !why.empty()) return why;
  return tree.difference(nodes, true);
}

std::size_t count(const ForkPlan& plan, ForkAction action) {
  return static_cast<std::size_t>(
      std::count_if(plan.begin(), plan.end(), [&](const ForkStep& step) { return step.action == action; }));
}

std::size_t place_of(const ForkPlan& plan, ForkAction action, pid_t vessel) {
  const auto found = std::find_if(plan.begin(), plan.end(),
                                  [&](const ForkStep& step) { return step.action == action && step.vessel == vessel; });
  REQUIRE(found != plan.end());
  return static_cast<std::size_t>(found - plan.begin());
}

TEST_CASE("fork plan: parents, groups and a zombie") {
  ForkPlan plan;
  CHECK(
      outcome(nodes_of({{10, 0, 10, 10}, {11, 10, 10, 11}, {12, 10, 10, 11}, {13, 11, 10, 10}, {14, 11, 10, 11, true}}),
              &plan)
          .empty());
  CHECK(plan.size() == 4);  // the zombie comes in finish()
}

TEST_CASE("fork plan: who is in the session that the parent leaves is forked first") {
  ForkPlan plan;
  CHECK(outcome(nodes_of({{10, 0, 10, 10}, {20, 10, 20, 20}, {21, 20, 10, 10}, {22, 20, 20, 20}}), &plan).empty());
  const std::size_t leads = place_of(plan, ForkAction::lead_session, 20);
  CHECK(place_of(plan, ForkAction::fork, 21) < leads);
  CHECK(place_of(plan, ForkAction::fork, 22) > leads);
}

TEST_CASE("fork plan: orphans come by a placeholder that has the number of their session") {
  ForkPlan plan;
  CHECK(outcome(nodes_of({{10, 0, 10, 10}, {30, 10, 25, 25}, {31, 10, 25, 25}, {32, 30, 25, 25}}), &plan).empty());
  CHECK(count(plan, ForkAction::end_placeholder) == 1);
  const auto placeholder =
      std::find_if(plan.begin(), plan.end(), [](const ForkStep& s) { return is_placeholder(s.vessel); });
  REQUIRE(placeholder != plan.end());
  CHECK(placeholder->number == 25);
  CHECK(placeholder->from == 10);
}

TEST_CASE("fork plan: an orphan of a session that is there comes from a member of it") {
  ForkPlan plan;
  CHECK(outcome(nodes_of({{10, 0, 10, 10}, {20, 10, 20, 20}, {40, 10, 20, 20}}), &plan).empty());
  const auto placeholder =
      std::find_if(plan.begin(), plan.end(), [](const ForkStep& s) { return is_placeholder(s.vessel); });
  REQUIRE(placeholder != plan.end());
  CHECK(placeholder->number == 0);
  CHECK(placeholder->from == 20);
}

TEST_CASE("fork plan: a zombie that still leads a session is there before its members") {
  CHECK(outcome(nodes_of({{10, 0, 10, 10}, {20, 10, 20, 20, true}, {40, 10, 20, 20}})).empty());
}

TEST_CASE("fork plan: groups whose leaders have ended, and the root's outer group") {
  CHECK(outcome(nodes_of({{10, 0, 5, 6}, {11, 10, 5, 9}, {12, 10, 5, 9}, {13, 10, 5, 6}})).empty());
}

TEST_CASE("fork plan: what no order gives is found before anything is made") {
  CHECK_FALSE(find_fork_conflict(nodes_of({{10, 3, 10, 10}, {11, 10, 10, 10}})).has_value());
  // Two processes of a session without a leader, neither of whose parents is above the other's.
  const auto apart = find_fork_conflict(
      nodes_of({{10, 3, 10, 10}, {20, 10, 10, 10}, {21, 10, 10, 10}, {30, 20, 25, 25}, {31, 21, 25, 25}}));
  REQUIRE(apart.has_value());
  CHECK(apart->pid == 31);
  CHECK(apart->reason == "cannot come below process 21, since session 25 began elsewhere");
  CHECK(apart->remedy == "end it before moving the program");
  // A group of a session that has no such member.
  CHECK(find_fork_conflict(nodes_of({{10, 3, 10, 10}, {20, 10, 20, 20}, {21, 10, 10, 20}})).has_value());
  // /proc while processes change their parents.
  CHECK_FALSE(find_fork_conflict(nodes_of({{10, 3, 10, 10}, {20, 99, 10, 10}})).has_value());
  CHECK_FALSE(find_fork_conflict({}).has_value());
}

TEST_CASE("fork plan: from one layout to the next only what has changed is touched") {
  ForkPlanner planner;
  std::vector<TaskNode> nodes = nodes_of({{10, 0, 10, 10}, {11, 10, 10, 10}, {12, 11, 10, 10}});
  CHECK(planner.follow(requests_of(nodes)).size() == 3);
  CHECK(planner.follow(requests_of(nodes, false)).empty());
  // 12 has ended, 13 is new.
  nodes = nodes_of({{10, 0, 10, 10}, {11, 10, 10, 10}, {13, 11, 10, 10}});
  std::vector<ForkRequest> requests = requests_of(nodes, false);
  requests[2].replaced = true;
  requests[2].memory_donor = 11;
  const ForkPlan plan = planner.follow(requests);
  CHECK(plan == ForkPlan{{.action = ForkAction::end_vessel, .vessel = 12},
                         {.action = ForkAction::fork, .vessel = 13, .from = 11, .with_memory = true}});
  // 11 runs another program: it goes, and 13 below it.
  requests = requests_of(nodes, false);
  requests[1].replaced = requests[2].replaced = true;
  const ForkPlan anew = planner.follow(requests);
  CHECK(count(anew, ForkAction::end_vessel) == 2);
  CHECK(count(anew, ForkAction::fork) == 2);
  requests[0].replaced = true;
  CHECK(count(planner.follow(requests), ForkAction::empty_root) == 1);
}

TEST_CASE("fork plan: sharing that is only handed down is left in the end") {
  std::vector<TaskNode> nodes = nodes_of({{1, 0, 1, 1}, {2, 1, 1, 1}, {3, 2, 1, 1}, {4, 1, 1, 1}, {5, 1, 1, 1}});
  nodes[2].groups[1] = nodes[0].groups[1];                                                // descriptors of 1 and 3
  for (const std::size_t kind : {0u, 3u}) nodes[4].groups[kind] = nodes[3].groups[kind];  // memory of 4 and 5
  CHECK(plan_sharing(nodes).empty());
  CHECK(nodes[4].cloner == 4);
  CHECK(outcome(nodes).empty());
  nodes[1].unshare_flags = 0;
  CHECK_THROWS_AS(outcome(nodes), Error);
}

TEST_CASE("fork plan: steps that a peer must not send are turned down") {
  const std::vector<TaskNode> nodes = nodes_of({{10, 0, 10, 10}, {11, 10, 10, 10}});
  ForkedTree tree;
  CHECK_FALSE(tree.apply({.action = ForkAction::fork, .vessel = 11, .from = 10}, nodes).empty());
  CHECK_FALSE(tree.apply({.action = ForkAction::make_root, .vessel = 11}, nodes).empty());
  REQUIRE(tree.apply({.action = ForkAction::make_root, .vessel = 10}, nodes).empty());
  const std::vector<ForkStep> bad = {
      {.action = ForkAction::make_root, .vessel = 10},
      {.action = static_cast<ForkAction>(99), .vessel = 10},
      {.action = ForkAction::fork, .vessel = 11, .from = 12},
      {.action = ForkAction::fork, .vessel = 10, .from = 10},
      {.action = ForkAction::fork, .vessel = 12, .from = 10},
      {.action = ForkAction::fork, .vessel = 0, .from = 10},
      {.action = ForkAction::fork, .vessel = 11, .from = 10, .as_sibling = true},  // of the root
      {.action = ForkAction::fork, .vessel = 11, .from = 10, .flags = 16},
      {.action = ForkAction::fork, .vessel = 11, .from = 10, .flags = sharing::kSignalHandlers},
      {.action = ForkAction::fork, .vessel = 11, .from = 10, .flags = sharing::kMemory, .with_memory = true},
      {.action = ForkAction::fork, .vessel = -1, .from = 10, .number = 10},
      {.action = ForkAction::fork, .vessel = -1, .from = 10, .number = -3},
      {.action = ForkAction::end_vessel, .vessel = 10},
      {.action = ForkAction::lead_session, .vessel = 10},
      {.action = ForkAction::end_placeholder, .vessel = 10},
      {.action = ForkAction::unshare, .vessel = 10, .flags = sharing::kMemory},
      {.action = ForkAction::enter_group, .vessel = 10, .number = 10},
      {.action = ForkAction::end_zombie, .vessel = 10},
  };
  for (const ForkStep& step : bad) CHECK_FALSE(tree.apply(step, nodes).empty());
  CHECK(tree.processes().size() == 1);
  // A placeholder whose children nobody adopts would leave them to the agent's host.
  REQUIRE(tree.apply({.action = ForkAction::fork, .vessel = -1, .from = 10}, nodes).empty());
  REQUIRE(tree.apply({.action = ForkAction::fork, .vessel = 11, .from = -1}, nodes).empty());
  CHECK_FALSE(tree.apply({.action = ForkAction::end_placeholder, .vessel = -1}, nodes).empty());
  CHECK_FALSE(tree.difference(nodes, false).empty());
  REQUIRE(tree.apply({.action = ForkAction::adopt_orphans, .vessel = 10}, nodes).empty());
  REQUIRE(tree.apply({.action = ForkAction::end_placeholder, .vessel = -1}, nodes).empty());
  CHECK_FALSE(tree.difference(nodes, false).empty());  // 10 still adopts
  REQUIRE(tree.apply({.action = ForkAction::leave_orphans, .vessel = 10}, nodes).empty());
  CHECK(tree.difference(nodes, false).empty());
  std::vector<TaskNode> others = nodes;
  others[1].start_ticks += 1;
  CHECK_FALSE(tree.difference(others, false).empty());
  others = nodes;
  others[1].groups[0] = others[0].groups[0];
  CHECK_FALSE(tree.difference(others, true).empty());
}

TEST_CASE("fork plan: lists that are no trees are told apart") {
  CHECK(why_no_tree(nodes_of({{10, 0, 10, 10}, {11, 10, 10, 10}})).empty());
  CHECK_FALSE(why_no_tree({}).empty());
  CHECK_FALSE(why_no_tree(nodes_of({{10, 3, 10, 10}})).empty());
  CHECK_FALSE(why_no_tree(nodes_of({{10, 0, 10, 10, true}})).empty());
  CHECK_FALSE(why_no_tree(nodes_of({{10, 0, 10, 10}, {10, 10, 10, 10}})).empty());
  CHECK_FALSE(why_no_tree(nodes_of({{10, 0, 10, 10}, {11, 12, 10, 10}, {12, 10, 10, 10}})).empty());
  CHECK_FALSE(why_no_tree(nodes_of({{10, 0, 10, 10}, {-1, 10, 10, 10}})).empty());
}

// Trees as the kernel makes them: every one that grew by forks, setsid, setpgid and deaths can be made again, or is
// refused with a reason; no plan ends anywhere else than it says.
TEST_CASE("fork plan: random trees") {
  std::mt19937_64 random(11);
  int made = 0, refused = 0;
  for (int turn = 0; turn < 2000; ++turn) {
    std::vector<Row> rows = {{100, 0, 100, 100}};
    pid_t next = 101;
    for (int n = 0; n < 20; ++n) {
      const std::size_t at = random() % rows.size();
      Row& row = rows[at];
      const uint64_t what = random() % 10;
      if (row.dead) continue;
      if (what < 5) {
        rows.push_back({next, row.pid, row.sid, row.pgid});
        ++next;
      } else if (what < 6 && row.pgid != row.pid) {
        row.sid = row.pgid = row.pid;
      } else if (what < 7 && row.sid != row.pid) {
        row.pgid = row.pid;
      } else if (what < 9 && at != 0) {  // it ends, and the root, or a process in between, adopts
        const pid_t ended = row.pid, adopter = random() % 3 == 0 ? row.ppid : 100;
        const bool stays = random() % 4 == 0;
        if (stays) row.dead = true;
        if (!stays) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(at));
        for (Row& child : rows) {
          if (child.ppid == ended) child.ppid = adopter;
        }
      }
    }
    const std::vector<TaskNode> nodes = nodes_of(rows);
    if (!why_no_tree(nodes).empty()) continue;
    if (find_fork_conflict(nodes)) {
      ++refused;
    } else {
      REQUIRE(outcome(nodes).empty());
      ++made;
    }
  }
  CHECK(made > 1000);
  MESSAGE(fmt::format("{} trees made, {} refused", made, refused));
}

}  // namespace
}  // namespace crx
