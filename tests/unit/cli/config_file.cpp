// The configuration file of all tools: crx.conf(5).
#include <doctest/doctest.h>
#include <fcntl.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "agent-dst/restore_set/restore_options.hpp"
#include "agent-dst/supervisor/agent_options.hpp"
#include "agent-src/dump/dump_options.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "common/base/fd.hpp"
#include "tests/unit/temp_dir.hpp"

namespace crx {
namespace {

class Config {
  template <typename Parse>
  auto parse(Parse function, std::initializer_list<std::string> more) const {
    std::vector<const char*> argv = {"crx", "--config", path_.c_str()};
    for (const std::string& word : more) argv.push_back(word.c_str());
    return function(static_cast<int>(argv.size()), argv.data());
  }

 public:
  explicit Config(const std::string& text) : path_(dir_.path() + "/crx.conf") { write(text); }
  void write(const std::string& text) const {
    open_checked(path_, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    write_file(path_, text);
  }
  const std::string& path() const { return path_; }

  auto migrate(std::initializer_list<std::string> more = {}) const { return parse(parse_migrate_options, more); }
  auto dump(std::initializer_list<std::string> more = {}) const { return parse(parse_dump_options, more); }
  auto restore(std::initializer_list<std::string> more = {}) const { return parse(parse_restore_options, more); }
  auto agent(std::initializer_list<std::string> more = {}) const { return parse(parse_agent_options, more); }

 private:
  test::TempDir dir_;
  std::string path_;
};

constexpr char kWhole[] =
    "log-level = debug\n"
    "tls-dir = /keys\n"
    "# what each tool does\n"
    "[agent]\n"
    "listen = [::]\n"
    "allow = alpha\n"
    "allow = gamma\n"
    "[peer alpha]\n"
    "max-tasks = 7\n"
    "[migrate]\n"
    "to = beta\n"
    "max-downtime = 80\n"
    "verify = true\n"
    "with-files = false\n"
    "[dump]\n"
    "sign\n"
    "[restore]\n"
    "store = '/srv/sets'\n"
    "manage-cgroups = none\n";

}  // namespace

TEST_CASE("config: each tool takes its section, and the keys before the first one") {
  const Config config(kWhole);
  const ParsedMigrateOptions move = config.migrate({"1"});
  REQUIRE_MESSAGE(move.options, move.text);
  CHECK(move.options->to == Endpoint{"beta", 7077});
  CHECK(move.options->max_downtime_ms == 80);
  CHECK(move.options->verify);
  CHECK_FALSE(move.options->with_files);
  CHECK(move.options->tls_dir == "/keys");
  CHECK_FALSE(move.options->has_tls_dir);  // a session knows its own directory of keys
  CHECK(move.options->log_level == log::Level::debug);

  const ParsedDumpOptions dump = config.dump({"-t", "1", "-D", "/set"});
  REQUIRE_MESSAGE(dump.options, dump.text);
  CHECK(dump.options->sign);
  CHECK(dump.options->log_level == log::Level::debug);

  // It has no use for keys without --require-signature, but the file is for all.
  const ParsedRestoreOptions restore = config.restore({"--name", "set"});
  REQUIRE_MESSAGE(restore.options, restore.text);
  CHECK(restore.options->images_dir == "/srv/sets/set");
  CHECK_FALSE(restore.options->cgroups);
  CHECK(config.restore({"-D", "/elsewhere"}).options);

  const ParsedAgentOptions agent = config.agent();
  REQUIRE_MESSAGE(agent.options, agent.text);
  CHECK(agent.options->allow == std::vector<std::string>{"alpha", "gamma"});
  REQUIRE(agent.options->peers.size() == 1);
  CHECK(agent.options->peers[0].policy.max_tasks == 7);
}

TEST_CASE("config: an option on the command line has precedence") {
  const Config config(kWhole);
  const ParsedMigrateOptions move =
      config.migrate({"--to", "gamma:1", "--max-downtime", "5", "--log-level", "error", "--tls-dir", "/other", "1"});
  REQUIRE_MESSAGE(move.options, move.text);
  CHECK(move.options->to == Endpoint{"gamma", 1});
  CHECK(move.options->max_downtime_ms == 5);
  CHECK(move.options->log_level == log::Level::error);
  CHECK(move.options->tls_dir == "/other");
  CHECK(move.options->has_tls_dir);
  CHECK(config.agent({"--allow", "delta"}).options->allow == std::vector<std::string>{"delta"});
}

TEST_CASE("config: an error names the file, the line and the key") {
  const Config config("");
  const auto said = [&](const std::string& text, bool by_agent = false) {
    config.write(text);
    const auto check = [&](const auto& parsed) {
      CHECK_FALSE(parsed.options);
      CHECK(parsed.exit_code == 2);
      const std::size_t at = parsed.text.find(config.path());
      return at == std::string::npos ? parsed.text : parsed.text.substr(at + config.path().size());
    };
    return by_agent ? check(config.agent({"--listen", "a"})) : check(config.migrate({"--to", "a", "1"}));
  };
  CHECK(said("\n[migrate]\nmax-speed = 1\n").starts_with(", line 3: max-speed is not a key of crx-migrate"));
  CHECK(said("[migrate]\nlist = true\n").starts_with(", line 2: list is not a key of crx-migrate"));
  CHECK(said("[migrate]\nPID = 1\n").starts_with(", line 2: PID is not a key"));
  CHECK(said("[migrate]\nconfig = /x\n").starts_with(", line 2: config is not a key"));
  CHECK(said("# x\nlisten = [::]\n").starts_with(", line 2: listen is not for all tools; put it below the section"));
  CHECK(said("[move]\n").starts_with(", line 1: [move] is none of the sections [agent], "));
  CHECK(said("[migrate]\nmax downtime = 1\n").starts_with(", line 2: 'max downtime = 1' is not `key = value`"));
  CHECK(said("[migrate]\nverify = maybe\n").starts_with(", line 2: verify: 'maybe' is neither true nor false"));
  CHECK(said("[migrate]\n\nmax-rounds = many\n").starts_with(", line 3: max-rounds"));
  CHECK(said("[migrate]\nmax-bandwidth = fast\n").starts_with(", line 2: max-bandwidth: 'fast' is not a size"));
  CHECK(said("[migrate]\nmax-bandwidth = 1K\n").starts_with(", line 2: max-bandwidth must be at least 4K"));
  CHECK(said("[peer a]\nlisten = b\n", true).starts_with(", line 2: [peer a]: listen is not an option of policy"));
  CHECK(said("[agent]\nallow-uid = root\n", true).starts_with(", line 2: allow-uid: "));

  // A wrong option of the command line is not the file's fault.
  config.write("[migrate]\nmax-rounds = 5\n");
  CHECK(config.migrate({"--to", "a", "--max-rounds", "many", "1"}).text.starts_with("crx-migrate: --max-rounds: "));
  // The sections of other tools are for them to check.
  config.write("[agent]\nno-such-key = 1\n[peer x]\nno-such-key = 1\n");
  CHECK(config.migrate({"--to", "a", "1"}).options);
  CHECK_FALSE(config.agent({"--listen", "a"}).options);
}

}  // namespace crx
