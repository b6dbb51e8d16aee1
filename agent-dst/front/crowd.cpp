#include "agent-dst/front/crowd.hpp"

#include <algorithm>

namespace crx::front {

Crowd::Place& Crowd::Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  leave();
  members_ = std::move(other.members_);
  number_ = other.number_;
  return *this;
}

void Crowd::Place::leave() noexcept {
  if (members_) members_->remove(number_);
  members_.reset();
}

Crowd::Place Crowd::enter(std::string owner, std::function<void()> drop) {
  const auto& counts = members_->counts;
  const auto own = counts.find(owner);
  if (own != counts.end() && own->second >= max_owner_) {
    drop_oldest([&](const Member& member) { return member.owner == owner; });
  } else if (size() >= max_all_) {
    const auto most = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    const std::size_t count = most->second;
    drop_oldest([&](const Member& member) { return counts.at(member.owner) == count; });
  }
  ++members_->counts[owner];
  members_->by_number.emplace(++last_, Member{std::move(owner), std::move(drop)});
  return {members_, last_};
}

void Crowd::drop_oldest(const std::function<bool(const Member&)>& fits) {
  auto& members = members_->by_number;
  const auto oldest =
      std::find_if(members.begin(), members.end(), [&](const auto& entry) { return fits(entry.second); });
  if (oldest == members.end()) return;
  const std::function<void()> drop = std::move(oldest->second.drop);
  members_->remove(oldest->first);
  drop();
}

void Crowd::Members::remove(uint64_t number) noexcept {
  const auto member = by_number.find(number);
  if (member == by_number.end()) return;
  const auto count = counts.find(member->second.owner);
  if (--count->second == 0) counts.erase(count);
  by_number.erase(member);
}

}  // namespace crx::front
