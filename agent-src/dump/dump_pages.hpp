// Lets the memory rounds put pages into image files.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "agent-src/memory/page_sink.hpp"
#include "common/base/mapping.hpp"
#include "common/image/page_images.hpp"
#include "wire/connection/page_server.hpp"

namespace crx {

// Pages of each space must come in ascending order, space after space or mixed. While one buffer is being filled the
// ones before it are written by threads of our own.
class DumpPages final : public PageSink {
 public:
  // remote: takes the pages in place of the set; nullptr for none. It is used by one of our threads until drain().
  explicit DumpPages(DirectorySink& set, wire::PageServerClient* remote = nullptr);
  DumpPages(const DumpPages&) = delete;
  DumpPages& operator=(const DumpPages&) = delete;
  ~DumpPages() override;

  std::span<std::byte> acquire() override;
  void put(PageSpace space, std::vector<PageRange> ranges) override;

  // Makes the space's images even if it has no pages. in_parent: what is left to the parent. False: the page server has
  // no such parent, and wants all pages.
  bool begin(PageSpace space, const std::vector<PageRange>& in_parent);
  // Waits until everything is written; throws what writing threw. No put() afterwards.
  void drain();
  // After drain(): the pagemaps. in_parent: by space, what the parent set has.
  void finish(const std::map<PageSpace, std::vector<PageRange>>& in_parent);
  uint64_t pages() const;
  // What went to the page server.
  const std::map<PageSpace, std::vector<PageRange>>& sent() const noexcept { return sent_; }

 private:
  struct Job {
    PageSpace space;
    PageWriter* writer;  // nullptr: the page server's
    uint64_t offset;     // in the writer's file
    std::vector<PageRange> ranges;
    std::size_t buffer;
  };
  PageWriter* writer_of(PageSpace space);
  void write(const Job& job);
  // Gives its buffer back. `lock` on mutex_ is held before and afterwards.
  void do_job(Job job, std::unique_lock<std::mutex>& lock);
  void write_jobs();

  DirectorySink& set_;
  wire::PageServerClient* remote_;
  std::map<PageSpace, PageWriter> writers_;
  std::map<PageSpace, std::vector<PageRange>> sent_;
  Mapping memory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<std::size_t> free_;
  std::exception_ptr failure_;
  bool ending_ = false;
  std::size_t filling_;  // the buffer that acquire() gave
  std::vector<std::thread> threads_;
};

}  // namespace crx
