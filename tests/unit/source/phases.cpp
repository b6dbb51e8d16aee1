// The phases of a migration take one another's results, and nothing else does.
#include <doctest/doctest.h>

#include <type_traits>

#include "agent-src/migrate/commit.hpp"

namespace crx {
namespace {

// Each phase begins with what the one before it returns.
static_assert(std::is_constructible_v<Precopy, MigrationContext&, Cleared>);
static_assert(std::is_constructible_v<Cutover, MigrationContext&, Precopied>);
static_assert(std::is_constructible_v<Commit, MigrationContext&, PreparedMove>);

// There is no way to skip one.
static_assert(!std::is_constructible_v<Cutover, MigrationContext&, Cleared>);
static_assert(!std::is_constructible_v<Commit, MigrationContext&, Cleared>);
static_assert(!std::is_constructible_v<Commit, MigrationContext&, Precopied>);

// A result cannot be made by others, nor used twice.
template <typename Result>
constexpr bool is_unique_result = !std::is_default_constructible_v<Result> && !std::is_copy_constructible_v<Result> &&
                                  std::is_move_constructible_v<Result> && !std::is_aggregate_v<Result>;
static_assert(is_unique_result<Cleared> && is_unique_result<Precopied> && is_unique_result<PreparedMove>);
static_assert(!std::is_constructible_v<PreparedMove, Precopied, IpcLeftovers, std::unique_ptr<Stop>>);

// A phase runs once: run() takes the phase along with its state.
template <typename Phase>
concept RunsTwice = requires(Phase& phase) {
  phase.run();
};
static_assert(!RunsTwice<Precopy> && !RunsTwice<Cutover> && !RunsTwice<Commit>);

}  // namespace

TEST_CASE("migration: phases cannot be skipped or run twice") {
  CHECK(true);  // the assertions above are the test: they are checked when this file is compiled
}

}  // namespace crx
