// A page sink that writes into image files, for the memory rounds.
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
#include "wire/page_server/page_server.hpp"

namespace crx {

// The pages of each space must come in ascending order; different spaces may be mixed. Threads of this object write the
// filled buffers while the next one is being filled. The other functions are to be called from one thread.
class DumpPages final : public PageSink {
 public:
  // remote: takes the pages instead of the set; nullptr for none. This object uses the connection until drain()
  // returns, so the caller must not. Both must outlive the object.
  explicit DumpPages(DirectorySink& set, wire::PageServerClient* remote = nullptr);
  DumpPages(const DumpPages&) = delete;
  DumpPages& operator=(const DumpPages&) = delete;
  ~DumpPages() override;

  std::span<std::byte> acquire() override;
  void put(PageSpace space, std::vector<PageRange> ranges) override;

  // Creates the images of the space, even if it has no pages. in_parent: the pages that are left to the parent. Returns
  // false if the page server has no such parent, so that all pages must be sent.
  bool begin(PageSpace space, const std::vector<PageRange>& in_parent);
  // Waits until everything is written, and rethrows what a write threw. put() must not be called afterwards.
  void drain();
  // Writes the pagemaps; to be called after drain(). in_parent: by space, the pages that the parent set has.
  void finish(const std::map<PageSpace, std::vector<PageRange>>& in_parent);
  uint64_t pages() const;
  // Returns the pages that went to the page server.
  const std::map<PageSpace, std::vector<PageRange>>& sent() const noexcept { return sent_; }

 private:
  struct Job {
    PageSpace space;
    PageWriter* writer;  // nullptr for the page server
    uint64_t offset;     // an offset in the writer's file
    std::vector<PageRange> ranges;
    std::size_t buffer;
  };
  PageWriter* writer_of(PageSpace space);
  void write(const Job& job);
  // Writes the job's pages and frees its buffer. `lock` on mutex_ is held before and afterwards, but not during the
  // write.
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
  std::size_t filling_;  // the buffer that acquire() has returned
  std::vector<std::thread> threads_;
};

}  // namespace crx
