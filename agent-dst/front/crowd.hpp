// Limits for connections of peers about whom little is known: by their owner, and in all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace crx::front {

// Connections that wait for the same thing, each with an owner (an address, or a certificate). There is always room for
// one more: where an owner has too many, its oldest connection is dropped; where all owners together have too many, the
// oldest of the owner with the most. So an owner with many silent connections displaces its own, and a peer that does
// what it came for leaves before its turn comes. Not thread-safe.
class Crowd {
 public:
  // max_owner: connections of one owner; max_all: of all. Both at least 1.
  Crowd(std::size_t max_owner, std::size_t max_all)
      : max_owner_(max_owner), max_all_(max_all), members_(std::make_shared<Members>()) {}

 private:
  struct Members;

 public:
  // The place of a connection in a crowd, which it may outlive; empty after leave().
  class Place {
   public:
    Place() = default;
    Place(std::shared_ptr<Members> members, uint64_t number) : members_(std::move(members)), number_(number) {}
    Place(Place&&) noexcept = default;
    Place& operator=(Place&& other) noexcept;
    ~Place() { leave(); }
    void leave() noexcept;

   private:
    std::shared_ptr<Members> members_;
    uint64_t number_ = 0;
  };

  // drop: ends the connection; called from a later enter(), at most once, and not after the place was left. It must not
  // call the crowd.
  [[nodiscard]] Place enter(std::string owner, std::function<void()> drop);
  std::size_t size() const noexcept { return members_->by_number.size(); }

 private:
  struct Member {
    std::string owner;
    std::function<void()> drop;
  };
  struct Members {
    std::map<uint64_t, Member> by_number;  // in the order of their coming
    std::map<std::string, std::size_t> counts;
    void remove(uint64_t number) noexcept;
  };
  void drop_oldest(const std::function<bool(const Member&)>& fits);

  std::size_t max_owner_, max_all_;
  uint64_t last_ = 0;
  std::shared_ptr<Members> members_;
};

}  // namespace crx::front
