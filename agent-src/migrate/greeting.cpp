#include "agent-src/migrate/greeting.hpp"

#include <fmt/format.h>

#include <vector>

#include "agent-src/migrate/source_tree.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/proc/stat.hpp"
#include "wire/host_info.hpp"
#include "wire/limits.hpp"

namespace crx {
namespace {

constexpr int64_t kGreetingMs = 30'000;
constexpr uint32_t kGoTimeoutMs = 30'000;

HostSummary summary_of(const wire::HostInfo& host) {
  return {host.name(), host.kernel_release(), host.tool_version()};
}

// Returns how far this kernel's clocks are ahead of the peer's. The peer's reading is half a round trip old when it
// arrives. rtt_us: in microseconds.
TimeOffsets lead_over(const wire::HostInfo& peer, int64_t rtt_us) {
  const TimeOffsets ours = time_offsets(0);
  const int64_t age_ns = rtt_us * 1000 / 2;
  return {clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns - peer.monotonic_ns() - age_ns,
          clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns - peer.boottime_ns() - age_ns};
}

wire::SessionMessage hello_message(const MigrateOptions& options, int64_t rtt_us) {
  wire::SessionMessage message;
  wire::Hello& hello = *message.mutable_hello();
  *hello.mutable_host() = wire::local_host_info();
  hello.set_check_only(options.check_only);
  hello.set_verify(options.verify);
  hello.set_wait(options.wait);
  hello.set_compress(options.compress);
  hello.set_with_files(options.with_files);
  hello.set_new_pids(options.new_pids);
  hello.set_go_timeout_ms(kGoTimeoutMs);
  hello.set_stay_frozen(options.thaw && !find_frozen_groups(options.pid).empty());
  hello.set_rtt_us(rtt_us);
  return message;
}

void report_hello(MigrationContext& context) {
  HelloEvent event;
  event.session = context.session;
  event.pid = context.options.pid;
  event.comm = context.report.comm;
  event.to = context.options.to.text();
  event.source = context.report.source;
  event.destination = context.report.destination;
  event.rtt_us = context.link->statistics().rtt_us;
  event.tracker = to_string(choose_tracker(tracker_kind(context.options)));
  context.observer.hello(event);
}

void refuse_unlike_hosts(MigrationContext& context, const wire::HostInfo& here, const wire::HostInfo& there) {
  std::vector<PreflightFinding> findings;
  for (const wire::Finding& f : wire::compare_hosts(here, there)) {
    findings.push_back({f.fatal(), context.peer.name, f.object(), f.reason(), f.remedy()});
  }
  if (findings.empty()) return;
  context.observer.preflight(findings);
  throw Error(ErrorCode::refused, "preflight", findings.front().object + " " + findings.front().reason)
      .with_hint(findings.front().remedy);
}

}  // namespace

void greet(MigrationContext& context) {
  const MigrateOptions& options = context.options;
  context.report.comm = proc::parse_stat(read_file(fmt::format("/proc/{}/stat", options.pid))).comm;
  SourceSession& description = context.description;
  description.pid = options.pid;
  description.comm = context.report.comm;
  description.to = options.to;
  description.tls_dir = options.tls_dir;
  description.tls_crl = options.tls_crl;
  context.link = wire::connect_source(context.connect_options());
  const wire::SessionMessage message = hello_message(options, context.link->statistics().rtt_us);
  context.link->send(message);
  const auto answer = context.link->receive(Deadline::in_ms(kGreetingMs));
  if (!answer) throw Error(ErrorCode::peer, "greeting", options.to.text() + " did not answer");
  if (!answer->has_welcome()) throw Error(ErrorCode::peer, "greeting", options.to.text() + " broke the protocol");
  if (const uint32_t theirs = answer->welcome().protocol(); theirs != wire::kProtocolVersion) {
    throw Error(
        ErrorCode::unsupported, "greeting",
        fmt::format("{} speaks protocol {}, this crx-migrate {}", options.to.text(), theirs, wire::kProtocolVersion))
        .with_hint("install the same version of crx on both hosts");
  }
  const wire::HostInfo& here = message.hello().host();
  const wire::HostInfo& there = answer->welcome().host();
  Peer& peer = context.peer;
  peer.name = there.name();
  peer.same_kernel = here.boot_id() == there.boot_id();
  if (!peer.same_kernel) peer.clock_lead = lead_over(there, context.link->statistics().rtt_us);
  context.report.source = summary_of(here);
  context.report.destination = summary_of(there);
  report_hello(context);
  refuse_unlike_hosts(context, here, there);
  context.journal.append(JournalState::open, to_detail(context.description));
}

}  // namespace crx
