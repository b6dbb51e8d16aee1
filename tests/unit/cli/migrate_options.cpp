#include <doctest/doctest.h>
#include <stdlib.h>

#include <initializer_list>
#include <vector>

#include "agent-src/tool/migrate_options.hpp"
#include "common/base/endpoint.hpp"

namespace crx {
namespace {

ParsedMigrateOptions parse(std::initializer_list<const char*> arguments) {
  std::vector<const char*> argv = {"crx-migrate"};
  argv.insert(argv.end(), arguments);
  return parse_migrate_options(static_cast<int>(argv.size()), argv.data());
}

MigrateOptions parsed(std::initializer_list<const char*> arguments) {
  ParsedMigrateOptions result = parse(arguments);
  REQUIRE_MESSAGE(result.options, result.text);
  return *result.options;
}

TEST_CASE("cli: endpoints") {
  CHECK(parse_endpoint("host-b:7077") == Endpoint{"host-b", 7077});
  CHECK(parse_endpoint("[fe80::1%eth0]:1") == Endpoint{"fe80::1%eth0", 1});
  CHECK(parse_endpoint(":0") == Endpoint{"", 0});
  CHECK(Endpoint{"::1", 7}.text() == "[::1]:7");
  CHECK(Endpoint{"a", 7}.text() == "a:7");
  for (const char* bad : {"", "host", "host:", "host:x", "host:65536", "host:-1", "host: 1", "::1:7", "[::1]", "[::1:7",
                          "a b:1", "[host]:1", "host:1 "}) {
    CHECK_MESSAGE(!parse_endpoint(bad), bad);
  }
}

TEST_CASE("cli: the address of an agent needs no port") {
  for (const char* host : {"host-b", "10.0.0.1", "fe80.example"})
    CHECK(parse_agent_endpoint(host) == Endpoint{host, kDefaultPort});
  CHECK(parse_agent_endpoint("[fe80::1%eth0]") == Endpoint{"fe80::1%eth0", kDefaultPort});
  CHECK(parse_agent_endpoint("[::1]:7") == Endpoint{"::1", 7});
  CHECK(parse_agent_endpoint("host-b:9") == Endpoint{"host-b", 9});
  for (const char* bad : {"", "7077", "host:", "host:x", "::1", "[::1", "::1]", "[host]", "a b"})
    CHECK_MESSAGE(!parse_agent_endpoint(bad), bad);
  CHECK(parsed({"--to", "b", "4711"}).to == Endpoint{"b", kDefaultPort});
  CHECK(parse({"--to", "7077", "4711"}).exit_code == 2);
}

TEST_CASE("cli: crx-migrate's defaults are those of its contract") {
  ::unsetenv("CRX_TLS_DIR");
  const MigrateOptions options = parsed({"--to", "b:7000", "4711"});
  CHECK(options.pid == 4711);
  CHECK(options.to == Endpoint{"b", 7000});
  CHECK(options.tls_dir == "/etc/crx/tls");
  CHECK(options.state_dir == "/var/lib/crx");
  CHECK(options.max_downtime_ms == 50);
  CHECK(options.max_rounds == 16);
  CHECK(options.on_no_converge == OnNoConverge::throttle);
  CHECK(options.max_bandwidth == 0);
  CHECK(options.streams == 0);
  CHECK(options.compress == "auto");
  CHECK(options.tracker == TrackerChoice::automatic);
  CHECK(options.freeze_timeout_ms == 2000);
  CHECK(options.timeout_ms == 0);
  CHECK(options.ghost_limit == 1 << 20);
  CHECK_FALSE(options.verify);
  CHECK_FALSE(options.wait);
  CHECK_FALSE(options.json);
}

TEST_CASE("cli: crx-migrate takes every option of its contract") {
  ::setenv("CRX_TLS_DIR", "/env/tls", 1);
  CHECK(parsed({"--to", "b:1", "1"}).tls_dir == "/env/tls");
  const MigrateOptions options = parsed({"--to=[::1]:7077",
                                         "--tls-dir",
                                         "/t",
                                         "--state",
                                         "/s",
                                         "--check-only",
                                         "--max-downtime",
                                         "5",
                                         "--max-rounds",
                                         "0",
                                         "--on-no-converge",
                                         "fail",
                                         "--max-bandwidth",
                                         "1.5G",
                                         "--streams",
                                         "3",
                                         "--compress",
                                         "zstd:-5",
                                         "--tracker",
                                         "wp-async",
                                         "--verify",
                                         "--tcp-established",
                                         "--ext-unix-sk",
                                         "--file-locks",
                                         "--link-remap",
                                         "--ghost-limit",
                                         "64K",
                                         "--external",
                                         "unix[1]",
                                         "--external",
                                         "unix[22]",
                                         "--hook",
                                         "a b",
                                         "--hook-timeout",
                                         "5",
                                         "--with-files",
                                         "--freeze-timeout",
                                         "7",
                                         "--wait",
                                         "--timeout",
                                         "1.5",
                                         "--json",
                                         "--report",
                                         "r.html",
                                         "--progress",
                                         "never",
                                         "--log-level",
                                         "debug",
                                         "77"});
  ::unsetenv("CRX_TLS_DIR");
  CHECK(options.to == Endpoint{"::1", 7077});
  CHECK(options.tls_dir == "/t");
  CHECK(options.state_dir == "/s");
  CHECK(options.check_only);
  CHECK(options.max_downtime_ms == 5);
  CHECK(options.max_rounds == 0);
  CHECK(options.on_no_converge == OnNoConverge::fail);
  CHECK(options.max_bandwidth == 3ULL << 29);
  CHECK(options.streams == 3);
  CHECK(options.compress == "zstd:-5");
  CHECK(options.tracker == TrackerChoice::wp_async);
  CHECK(options.verify);
  CHECK((options.tcp_established && options.ext_unix_sk && options.file_locks));
  CHECK((options.link_remap && options.with_files && options.wait && options.json));
  CHECK(options.ghost_limit == 65536);
  CHECK(options.external_unix == std::set<uint64_t>{1, 22});
  CHECK(options.hook == "a b");
  CHECK(options.hook_timeout_ms == 5);
  CHECK(options.freeze_timeout_ms == 7);
  CHECK(options.timeout_ms == 1500);
  CHECK(options.report == "r.html");
  CHECK(options.progress == ProgressMode::never);
  CHECK(options.log_level == log::Level::debug);
  CHECK(options.pid == 77);
}

TEST_CASE("cli: an option given twice: the last one counts") {
  CHECK(parsed({"--to", "a:1", "--to", "b:2", "1"}).to == Endpoint{"b", 2});
}

TEST_CASE("cli: wrong usage exits with 2 and points to --help") {
  for (const auto& arguments : std::initializer_list<std::initializer_list<const char*>>{
           {},
           {"--to", "b:1"},
           {"1"},
           {"--to", "7077", "1"},
           {"--to", "b:0", "1"},
           {"--to", "b:1", "0"},
           {"--to", "b:1", "-4"},
           {"--to", "b:1", "x"},
           {"--to", "b:1", "1", "2"},
           {"--to", "b:1", "--no-such-option", "1"},
           {"--to", "b:1", "--max-rounds", "-1", "1"},
           {"--to", "b:1", "--max-bandwidth", "fast", "1"},
           {"--to", "b:1", "--max-bandwidth", "1", "1"},
           {"--to", "b:1", "--compress", "lz4", "1"},
           {"--to", "b:1", "--compress", "zstd:x", "1"},
           {"--to", "b:1", "--compress", "zstd:20", "1"},
           {"--to", "b:1", "--tracker", "magic", "1"},
           {"--to", "b:1", "--log-level", "loud", "1"},
           {"--to", "b:1", "--timeout", "-1", "1"},
           {"--to", "b:1", "--streams", "0", "1"},
           {"--to", "b:1", "--shell-job", "1"},
           {"--resolve", "../../x"},
           {"--resolve", "0123456789abcdef0123456789abcdef", "1"}}) {
    const ParsedMigrateOptions result = parse(arguments);
    std::string shown;
    for (const char* argument : arguments) shown += std::string(argument) + " ";
    CHECK_MESSAGE(!result.options, shown);
    CHECK_MESSAGE(result.exit_code == 2, shown);
    CHECK_MESSAGE(result.text.starts_with("crx-migrate: "), shown);
    CHECK_MESSAGE(result.text.find("--help") != std::string::npos, shown);
  }
  CHECK(parse({"--to", "b:1", "--compress", "lz4", "1"}).text.find("'lz4' is not auto") != std::string::npos);
}

TEST_CASE("cli: --help and --version exit with 0, whatever else is missing") {
  const ParsedMigrateOptions help = parse({"--help"});
  CHECK_FALSE(help.options);
  CHECK(help.exit_code == 0);
  for (const char* option : {"--to",
                             "--tls-dir",
                             "--check-only",
                             "--max-downtime",
                             "--max-rounds",
                             "--on-no-converge",
                             "--max-bandwidth",
                             "--streams",
                             "--compress",
                             "--tracker",
                             "--verify",
                             "--shell-job",
                             "--tcp-established",
                             "--ext-unix-sk",
                             "--file-locks",
                             "--link-remap",
                             "--ghost-limit",
                             "--external",
                             "--hook",
                             "--with-files",
                             "--freeze-timeout",
                             "--wait",
                             "--timeout",
                             "--json",
                             "--report",
                             "--progress",
                             "--log-level",
                             "--version",
                             "--resolve",
                             "--adopt",
                             "--discard",
                             "--list",
                             "--all",
                             "--state"}) {
    CHECK_MESSAGE(help.text.find(option) != std::string::npos, option);
  }
  const ParsedMigrateOptions asked = parse({"--version"});
  CHECK(asked.exit_code == 0);
  CHECK(asked.text.starts_with("crx-migrate (crx) "));
  CHECK_FALSE(parsed({"--resolve", "0123456789abcdef0123456789abcdef"}).resolve.empty());
}

TEST_CASE("migrate: options about sessions stand alone") {
  constexpr char kSession[] = "0123456789abcdef0123456789abcdef";
  CHECK(parsed({"--list", "--all"}).list);
  CHECK(parsed({"--adopt", kSession}).adopt == kSession);
  CHECK(parsed({"--discard", kSession}).discard == kSession);
  CHECK(parse({"--adopt", kSession, "--discard", kSession}).exit_code == 2);
  CHECK(parse({"--list", "--resolve", kSession}).exit_code == 2);
  CHECK(parse({"--all", "--to", "h:1", "7"}).exit_code == 2);
  CHECK(parse({"--list", "7"}).exit_code == 2);
  CHECK(parse({"--adopt", "short"}).exit_code == 2);
}

}  // namespace
}  // namespace crx
