// Which connections are dropped when there are too many.
#include "agent-dst/front/crowd.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace crx::front {
namespace {

struct Hall {
  Crowd crowd{3, 5};
  std::string dropped;
  Crowd::Place enter(const std::string& owner, char name) {
    return crowd.enter(owner, [this, name] { dropped += name; });
  }
};

}  // namespace

TEST_CASE("an owner with too many connections loses its oldest") {
  Hall hall;
  std::vector<Crowd::Place> places;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) places.push_back(hall.enter("x", name));
  CHECK(hall.dropped == "ab");
  CHECK(hall.crowd.size() == 3);
  places.push_back(hall.enter("y", 'f'));
  CHECK(hall.dropped == "ab");
}

TEST_CASE("in a full crowd the owner with the most connections loses its oldest, and of equals the oldest goes") {
  Hall hall;
  std::vector<Crowd::Place> places;
  places.push_back(hall.enter("quiet", 'q'));
  for (const char name : {'a', 'b', 'c'}) places.push_back(hall.enter("flood", name));
  places.push_back(hall.enter("other", 'o'));
  CHECK(hall.dropped.empty());
  places.push_back(hall.enter("new", 'n'));
  CHECK(hall.dropped == "a");
  places.push_back(hall.enter("newer", 'm'));
  CHECK(hall.dropped == "ab");
  places.push_back(hall.enter("newest", 'l'));  // now one each
  CHECK(hall.dropped == "abq");
}

TEST_CASE("a place that is left is free, also when the crowd is gone") {
  Crowd::Place kept;
  {
    Hall hall;
    for (int i = 0; i < 100; ++i) {
      Crowd::Place place = hall.enter("x", 'a');
      if (i % 2 == 0) place.leave();
    }
    CHECK(hall.dropped.empty());
    CHECK(hall.crowd.size() == 0);
    kept = hall.enter("x", 'k');
    kept = hall.enter("x", 'l');
    CHECK(hall.crowd.size() == 1);
  }
  kept.leave();
}

}  // namespace crx::front
