// Shared anonymous memory, memfd and System V segments over the rounds: objects by (dev, ino), sent once each.
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
  uint64_t ino = 0;  // the id of its PageSpace, and its shmid in the images
  auto operator<=>(const ObjectId&) const = default;
};

// One address space and its mappings, as of now.
struct MappedSpace {
  pid_t pid = 0;
  Tracker* tracker = nullptr;
  const std::vector<MemoryVma>* vmas = nullptr;
};

struct FinalObject {
  ObjectId id;
  uint64_t size = 0;               // bytes, as fstat says
  std::vector<PageRange> present;  // offsets that hold pages
  std::vector<PageRange> dirty;    // sent by send_final (of an exposed object: candidates)
  std::vector<PageRange> holes;    // sent earlier, absent now: punch
};

// An object is *exposed* when it can be written without leaving a mark in the page tables of the tree: through a
// descriptor (pwrite, splice), a path, or by a mapper outside. Such an object is compared by content, which costs
// a pass over it in the freeze. memfds and System V segments count as exposed until the caller says otherwise,
// shared anonymous memory does not. Nor do the marks tell of a process that was born and has ended between two rounds
// (ProcessChurn): see distrust_marks. Single-threaded.
class SharedObjects {
 public:
  void set_untracked_writers(ObjectId id, bool untracked_writers);
  // Somebody may have written to any object and left no mark: what has been sent so far is compared by content from now
  // on.
  void distrust_marks();
  // Whether marks decide about any object.
  bool trusts_marks() const;
  // An object that no mapping leads to (a memfd that is only open); fd is a description of our own, kept.
  void offer(Fd fd);

  // As in SpaceRounds; between the trackers' passes and the sending. Passes are made here on the same trackers, so
  // call it after the spaces' begin_round.
  void begin_round(std::span<const MappedSpace> spaces, MemoryStatistics& statistics);
  void send_round(PageSink& sink, MemoryStatistics& statistics);
  std::vector<FinalObject> final_scan(std::span<const MappedSpace> spaces, MemoryStatistics& statistics);
  void send_final(const std::vector<FinalObject>& objects, PageSink& sink, MemoryStatistics& statistics);

  // Our descriptor of an object known since the last round: to read its seals, name, size. -1: not known.
  int descriptor(ObjectId id) const;

 private:
  struct Mapper {
    pid_t pid = 0;
    Tracker* tracker = nullptr;
    const MemoryVma* vma = nullptr;
  };
  // Where an object was mapped shared: a change means that marks may have been lost with a mapping.
  struct Place {
    pid_t pid = 0;
    PageRange range;
    uint64_t offset = 0;
    bool operator==(const Place&) const = default;
  };
  struct Object {
    Fd fd;  // empty: nobody maps it at present
    bool untracked_writers = false;
    bool marks_invalid = false;
    bool offered = false;
    std::vector<Mapper> mappers;  // shared ones, of the current call only
    std::vector<Place> places;    // of the last round
    std::vector<PageRange> sent, pending, owed;
    bool comparing = false;  // the current round's: send through hashes
    PageHashes hashes;
  };

  void find(std::span<const MappedSpace> spaces);
  // The offsets of all its pages.
  static std::vector<PageRange> extents(const Object& object);
  // Those of `present` that some mapping does not know to be unwritten; false when one cannot tell.
  static bool scan(const Object& object, const std::vector<PageRange>& present, bool frozen,
                   std::vector<PageRange>& dirty);
  static std::vector<PageRange> plan(Object& object, const std::vector<PageRange>& present, bool frozen);

  static SendOutcome send(ObjectId id, Object& object, const std::vector<PageRange>& ranges, PageSink& sink);

  std::map<ObjectId, Object> objects_;
  std::map<ObjectId, bool> untracked_writers_;  // what the caller said
};

}  // namespace crx
