// Shared anonymous memory, memfds and System V segments over the rounds: each is an object, known by (dev, ino), and is
// sent once.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "agent-src/memory/page_hashes.hpp"
#include "agent-src/memory/space_rounds.hpp"

namespace crx {

struct ObjectId {
  uint64_t dev = 0;
  uint64_t ino = 0;  // also the id of its PageSpace and its shmid in the images
  auto operator<=>(const ObjectId&) const = default;
};

// One address space and its current mappings. Both pointers are borrowed for the duration of the call.
struct MappedSpace {
  pid_t pid = 0;
  Tracker* tracker = nullptr;
  const std::vector<MemoryVma>* vmas = nullptr;
};

struct FinalObject {
  ObjectId id;
  uint64_t size = 0;               // bytes, from fstat
  std::vector<PageRange> present;  // offsets that hold pages
  std::vector<PageRange> dirty;    // sent by send_final; candidates if the object has untracked writers
  std::vector<PageRange> holes;    // sent earlier, absent now: to be punched
};

// An object has *untracked writers* when it can be written without leaving a mark in the page tables of the tree:
// through a descriptor (pwrite, splice), through a path, or by a process outside that maps it. Such an object is
// compared by content, which costs a pass over it in the stop. memfds and System V segments count as such until the
// caller says otherwise; shared anonymous memory does not. The marks also miss a process that was forked and ended
// between two rounds (ProcessChurn): see ignore_marks. Single-threaded.
class SharedObjects {
 public:
  // Says whether this object can be written without a mark; holds also for an object that is found later.
  void set_untracked_writers(ObjectId id, bool untracked_writers);
  // Says that any object may have been written without a mark. From now on all content that has been sent is compared
  // by digest.
  void ignore_marks();
  // Whether the marks decide for at least one object, so that ignore_marks() would change something.
  bool trusts_marks() const;
  // Adds an object that no mapping leads to (a memfd that is only open). Takes ownership of fd, a description of our
  // own.
  void offer(Fd fd);

  // These work as in SpaceRounds, between the trackers' passes and the sending. begin_round makes passes of its own on
  // the same trackers, so call it after begin_round of the spaces.
  void begin_round(std::span<const MappedSpace> spaces, MemoryStatistics& statistics);
  void send_round(PageSink& sink, MemoryStatistics& statistics);
  std::vector<FinalObject> final_scan(std::span<const MappedSpace> spaces, MemoryStatistics& statistics);
  void send_final(const std::vector<FinalObject>& objects, PageSink& sink, MemoryStatistics& statistics);

  // Returns our descriptor of an object that the last round found, to read its seals, name and size; this object keeps
  // owning it. -1: not known.
  int descriptor(ObjectId id) const;

 private:
  struct Mapper {
    pid_t pid = 0;
    Tracker* tracker = nullptr;
    const MemoryVma* vma = nullptr;
  };
  // A place where an object was mapped shared. A change means that marks may have been lost with a mapping.
  struct Place {
    pid_t pid = 0;
    PageRange range;
    uint64_t offset = 0;
    bool operator==(const Place&) const = default;
  };
  struct Object {
    Fd fd;  // empty: no process maps it at present
    bool untracked_writers = false;
    bool marks_invalid = false;
    bool offered = false;
    std::vector<Mapper> mappers;  // shared mappings, of the current call only
    std::vector<Place> places;    // from the last round
    std::vector<PageRange> sent, pending, owed;
    bool comparing = false;  // in the current round: send by comparing digests
    PageHashes hashes;
  };

  void find(std::span<const MappedSpace> spaces);
  // Returns the offsets of all pages of the object.
  static std::vector<PageRange> extents(const Object& object);
  // Appends those of `present` that some mapping does not know to be unwritten. Returns false when this cannot be told.
  static bool scan(const Object& object, const std::vector<PageRange>& present, bool frozen,
                   std::vector<PageRange>& dirty);
  static std::vector<PageRange> plan(Object& object, const std::vector<PageRange>& present, bool frozen);

  static SendOutcome send(ObjectId id, Object& object, const std::vector<PageRange>& ranges, PageSink& sink);

  std::map<ObjectId, Object> objects_;
  std::map<ObjectId, bool> untracked_writers_;  // as the caller has said
};

}  // namespace crx
