// The scripts crx and crx-keys, the agent's options, and whether man pages and help texts agree.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <initializer_list>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "agent-dst/restore_set/restore_options.hpp"
#include "agent-dst/supervisor/agent_options.hpp"
#include "agent-src/dump/dump_options.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

const std::string kDeploy = CRX_SOURCE_DIR "/deploy/";

class TempDir {
 public:
  TempDir() {
    std::string name = "/tmp/crx-cli-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Ran {
  int status;
  std::string output;  // stdout and stderr together
};

Ran run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1 </dev/null").c_str(), "re");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  for (std::size_t n; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  const int status = ::pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

ParsedAgentOptions parse_agent(std::initializer_list<std::string> arguments) {
  std::vector<const char*> argv = {"crx-agent"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return parse_agent_options(static_cast<int>(argv.size()), argv.data());
}

void write_text(const std::string& path, const std::string& text) {
  open_checked(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
  write_file(path, text);
}

TEST_CASE("cli: crx-agent's options, from the command line and from a file") {
  ::unsetenv("CRX_TLS_DIR");
  const ParsedAgentOptions plain = parse_agent({"--listen", "[::1]:0"});
  REQUIRE(plain.options);
  CHECK(plain.options->listen == Endpoint{"::1", 0});
  CHECK(plain.options->store == "/var/lib/crx");
  CHECK(plain.options->tls_dir == "/etc/crx/tls");
  CHECK(plain.options->max_sessions == 8);
  CHECK(plain.options->allow.empty());
  CHECK(plain.options->ready_fd == -1);

  const TempDir dir;
  const std::string file = dir.path() + "/agent.conf";
  write_text(file,
             "# a comment\n\nlisten = [::1]:7077\n  hook = /bin/move \"an address\", again\nallow = h1\nallow = h2\n"
             "allow-uid = 1000-1999\nallow-uid = 5\nmax-memory = 1.5G\nmax-sessions=3\nmax-peer-sessions = "
             "2\nidle-timeout = 30\ntls-cacrl = /c\nstore = \"/a b\"\n"
             "metrics = 127.0.0.1:9100\nlog-level = debug\n");
  const ParsedAgentOptions from_file = parse_agent({"--config", file});
  REQUIRE_MESSAGE(from_file.options, from_file.text);
  CHECK(from_file.options->listen == Endpoint{"::1", 7077});
  CHECK(from_file.options->hook == "/bin/move \"an address\", again");
  CHECK(from_file.options->allow == std::vector<std::string>{"h1", "h2"});
  CHECK(from_file.options->policy.uids == std::vector<IdRange>{{1000, 1999}, {5, 5}});
  CHECK(from_file.options->policy.max_memory == 3ULL << 29);
  CHECK(from_file.options->max_sessions == 3);
  CHECK(from_file.options->tls_crl == "/c");
  CHECK(from_file.options->max_peer_sessions == 2);
  CHECK(from_file.options->idle_timeout_ms == 30'000);
  CHECK(from_file.options->store == "/a b");
  CHECK(from_file.options->metrics == Endpoint{"127.0.0.1", 9100});
  CHECK(from_file.options->log_level == log::Level::debug);

  const ParsedAgentOptions both = parse_agent({"--config", file, "--max-sessions", "9", "--once"});
  REQUIRE(both.options);
  CHECK(both.options->max_sessions == 9);
  CHECK(both.options->once);
}

TEST_CASE("cli: crx-agent's policy, for all sources and for one certificate") {
  const ParsedAgentOptions line =
      parse_agent({"--listen", "a:1", "--allow-gid", "1000-1999", "--allow-gid", "5", "--allow-capabilities",
                   "kill,CAP_CHOWN", "--max-tasks", "100", "--max-image-memory", "256M"});
  REQUIRE_MESSAGE(line.options, line.text);
  CHECK(line.options->policy.gids == std::vector<IdRange>{{1000, 1999}, {5, 5}});
  CHECK(line.options->policy.capabilities == 0x21U);
  CHECK(line.options->policy.max_tasks == 100);
  CHECK(line.options->policy.max_image_memory == 256 << 20);
  CHECK(line.options->peers.empty());

  const TempDir dir;
  const std::string file = dir.path() + "/agent.conf";
  write_text(file,
             "listen = a:1\nmax-memory = 1G\nallow-uid = 1000-1999\n\n[peer trusted]\nallow-uid = 0\n"
             "allow-uid = 7\nallow-capabilities = all\n# others\n[ peer ]\n");
  CHECK(parse_agent({"--config", file}).text.find("line 10: [ peer ] is none of the sections") != std::string::npos);
  write_text(file,
             "listen = a:1\nmax-memory = 1G\nallow-uid = 1000-1999\n\n[peer trusted]\nallow-uid = 0\n"
             "allow-uid = 7\nallow-capabilities = all\n[peer small]\nmax-memory = 1M\nmax-tasks = 2\n");
  const ParsedAgentOptions both = parse_agent({"--config", file, "--max-memory", "2G"});
  REQUIRE_MESSAGE(both.options, both.text);
  CHECK(both.options->policy.max_memory == 2ULL << 30);
  REQUIRE(both.options->peers.size() == 2);
  const PeerPolicy& trusted = both.options->peers[0];
  CHECK(trusted.name == "trusted");
  CHECK(trusted.policy.uids == std::vector<IdRange>{{0, 0}, {7, 7}});
  CHECK(trusted.policy.capabilities == kAllCapabilities);
  CHECK(trusted.policy.max_memory == 2ULL << 30);
  const PeerPolicy& small = both.options->peers[1];
  CHECK(small.policy.uids == std::vector<IdRange>{{1000, 1999}});
  CHECK(small.policy.max_memory == 1 << 20);
  CHECK(small.policy.max_tasks == 2);
}

TEST_CASE("cli: crx-agent reports wrong usage and exits with 2") {
  const TempDir dir;
  const std::string file = dir.path() + "/agent.conf";
  const auto with_file = [&](const std::string& text) {
    write_text(file, text);
    return parse_agent({"--listen", "a:1", "--config", file});
  };
  CHECK(with_file("bogus = 1\n").text.find("line 1: bogus is not a key of crx-agent") != std::string::npos);
  CHECK(with_file("hello world\n").text.find("line 1: 'hello world' is not `key = value`") != std::string::npos);
  CHECK(with_file("max-sessions = many\n").exit_code == 2);
  CHECK(with_file("once = true\n").exit_code == 2);
  CHECK(with_file("[peer h1]\nlisten = b:2\n").text.find("[peer h1]: listen is not an option of policy") !=
        std::string::npos);
  CHECK(with_file("[peer h1]\nmax-tasks = 0\n").text.find("max-tasks: '0' is not a number") != std::string::npos);
  CHECK(parse_agent({"--listen", "a:1", "--config", dir.path() + "/absent"}).exit_code == 2);
  CHECK(parse_agent({"--config", "/dev/null"}).text.find("--listen is required") != std::string::npos);
  for (const auto& wrong :
       std::initializer_list<std::initializer_list<std::string>>{{"--listen", "7077"},
                                                                 {"--listen", ":7000"},
                                                                 {"--listen", "a:1", "--ready-fd", "987"},
                                                                 {"--listen", "a:1", "--allow-uid", "5-4"},
                                                                 {"--listen", "a:1", "--allow-uid", "root"},
                                                                 {"--listen", "a:1", "--allow-gid", "wheel"},
                                                                 {"--listen", "a:1", "--allow-capabilities", "root"},
                                                                 {"--listen", "a:1", "--max-tasks", "-1"},
                                                                 {"--listen", "a:1", "--max-image-memory", "much"},
                                                                 {"--listen", "a:1", "--max-sessions", "0"},
                                                                 {"--listen", "a:1", "--idle-timeout", "0"},
                                                                 {"--listen", "a:1", "--max-memory", "much"},
                                                                 {"--listen", "a:1", "extra"}}) {
    const ParsedAgentOptions result = parse_agent(wrong);
    CHECK_FALSE(result.options);
    CHECK(result.exit_code == 2);
  }
  CHECK(parse_agent({"--help"}).exit_code == 0);
  CHECK(parse_agent({"--version"}).text.starts_with("crx-agent (crx) "));
}

// Returns every long option that a help text names.
std::set<std::string> options_in(const std::string& help) {
  static const std::regex kOption("--[a-z][a-z-]+");
  return {std::sregex_token_iterator(help.begin(), help.end(), kOption), std::sregex_token_iterator()};
}

TEST_CASE("cli: the man pages name every option that the help names") {
  const char* asked[] = {"crx", "--help"};
  const std::pair<std::string, std::string> pages[] = {{"crx-migrate.1", parse_migrate_options(2, asked).text},
                                                       {"crx-agent.8", parse_agent_options(2, asked).text},
                                                       {"crx-dump.1", parse_dump_options(2, asked).text},
                                                       {"crx-restore.1", parse_restore_options(2, asked).text},
                                                       {"crx-keys.8", run(kDeploy + "crx-keys --help").output}};
  for (const auto& [page, help] : pages) {
    const std::string text = read_file(CRX_SOURCE_DIR "/docs/man/" + page);
    const std::set<std::string> options = options_in(help);
    CHECK(options.size() > 3);
    for (const std::string& option : options) {
      const std::string in_roff = std::regex_replace(option, std::regex("-"), "\\-");
      const std::string shown = page + ": " + option;
      CHECK_MESSAGE(text.find(in_roff) != std::string::npos, shown);
    }
  }
}

TEST_CASE("cli: crx-keys makes certificates that verify, once") {
  const TempDir dir;
  const std::string keys = kDeploy + "crx-keys " + dir.path() + "/out";
  const Ran first = run(keys + " host-a,10.1.2.3 ::1");
  CHECK_MESSAGE(first.status == 0, first.output);
  for (const char* host : {"host-a", "::1"}) {
    for (const char* name : {"ca.pem", "cert.pem", "key.pem"}) {
      struct stat info {};
      const std::string path = dir.path() + "/out/" + host + "/" + name;
      REQUIRE_MESSAGE(::stat(path.c_str(), &info) == 0, path);
      CHECK((info.st_mode & 0777) == 0600);
    }
  }
  const std::string cert = dir.path() + "/out/host-a/cert.pem";
  for (const char* purpose : {"sslserver", "sslclient"}) {
    const Ran verified = run("openssl verify -x509_strict -purpose " + std::string(purpose) + " -CAfile " + dir.path() +
                             "/out/ca/ca.pem -verify_ip 10.1.2.3 -verify_hostname host-a " + cert);
    CHECK_MESSAGE(verified.status == 0, verified.output);
  }
  const std::string before = read_file(cert);
  const std::string authority = read_file(dir.path() + "/out/ca/ca.pem");
  CHECK(run(keys + " host-a host-b").status == 0);
  CHECK(read_file(cert) == before);
  CHECK(read_file(dir.path() + "/out/host-b/ca.pem") == authority);
  CHECK(run(keys + " host-a,other").status == 0);  // it lacks a name that is requested now
  CHECK(read_file(cert) != before);
  // One that no peer accepts is issued again.
  const std::string ca = dir.path() + "/out/ca/", old = dir.path() + "/out/host-b/";
  const auto replace = [&](const std::string& extensions) {
    write_text(dir.path() + "/extensions", extensions);
    const Ran made =
        run("openssl req -new -key " + old + "key.pem -subj /CN=host-b -out " + dir.path() +
            "/request && openssl x509 -req -in " + dir.path() + "/request -days 9 -CA " + ca + "ca.pem -CAkey " + ca +
            "key.pem -set_serial 7 -extfile " + dir.path() + "/extensions -out " + old + "cert.pem");
    CHECK_MESSAGE(made.status == 0, made.output);
    return run(keys + " host-b").output;
  };
  CHECK(replace("extendedKeyUsage=serverAuth,clientAuth\n").find("issued") != std::string::npos);
  for (const char* usage : {"", "extendedKeyUsage=serverAuth\n", "extendedKeyUsage=clientAuth\n"}) {
    CHECK(replace(std::string("subjectAltName=DNS:host-b\n") + usage).find("issued") != std::string::npos);
  }
  CHECK(run(keys + " --force host-b").output.find("issued") != std::string::npos);
  CHECK(run(keys + " --days -1 old").status == 0);
  CHECK(run("openssl verify -CAfile " + dir.path() + "/out/ca/ca.pem " + dir.path() + "/out/old/cert.pem")
            .output.find("expired") != std::string::npos);
}

TEST_CASE("cli: crx-keys revokes certificates, and issues them again") {
  const TempDir dir;
  const std::string out = dir.path() + "/out";
  const std::string keys = kDeploy + "crx-keys ";
  REQUIRE(run(keys + out + " host-a host-b").status == 0);
  CHECK(run(keys + "--revoke " + out + " host-c").output.find("no certificate to revoke") != std::string::npos);
  const auto verify = [&](const std::string& cert) {
    return run("openssl verify -crl_check -CAfile " + out + "/ca/ca.pem -CRLfile " + out + "/host-a/crl.pem " + cert)
        .output;
  };
  const std::string b = out + "/host-b/cert.pem";
  for (int again = 0; again < 2; ++again) {
    const Ran revoked = run(keys + "--revoke " + out + " host-b");
    CHECK_MESSAGE(revoked.status == 0, revoked.output);
    CHECK(revoked.output.find("revoked") != std::string::npos);
    CHECK(verify(b).find("certificate revoked") != std::string::npos);
    CHECK(verify(out + "/host-a/cert.pem").find("OK") != std::string::npos);
  }
  CHECK(run(keys + out + " host-a host-b host-c").output.find("host-b: issued") != std::string::npos);
  CHECK(verify(b).find("OK") != std::string::npos);
  CHECK(read_file(out + "/host-c/crl.pem") == read_file(out + "/host-a/crl.pem"));
}

TEST_CASE("cli: crx-keys refuses names that are no hosts") {
  const TempDir dir;
  for (const char* wrong : {"", " ../x", " ca", " 'a b'", " -x", " --days x h", " 'a;b'"}) {
    const Ran result = run(kDeploy + "crx-keys " + dir.path() + "/out" + wrong);
    CHECK_MESSAGE(result.status == 2, wrong);
  }
  CHECK(run(kDeploy + "crx-keys " + dir.path() + "/out 999.1.1.1").status == 1);
}

TEST_CASE("cli: crx executes crx-VERB with the arguments as they are, and its status") {
  const TempDir dir;
  std::filesystem::copy(kDeploy + "crx", dir.path() + "/crx");
  write_text(dir.path() + "/crx-echo", "#!/bin/sh\nprintf '[%s]' \"$@\"\nexit 7\n");
  REQUIRE(::chmod((dir.path() + "/crx-echo").c_str(), 0700) == 0);
  const Ran ran = run(dir.path() + "/crx echo 'a b' '' -x");
  CHECK(ran.output == "[a b][][-x]");
  CHECK(ran.status == 7);
  CHECK(run("PATH=" + dir.path() + ":$PATH " + kDeploy + "crx echo y").output == "[y]");
  // The help lists the tools of crx that are there, and no other program of that name.
  write_text(dir.path() + "/crx-check", "#!/bin/sh\n");
  REQUIRE(::chmod((dir.path() + "/crx-check").c_str(), 0700) == 0);
  const std::string help = run(dir.path() + "/crx --help").output;
  CHECK(help.find("\n  check ") != std::string::npos);
  CHECK(help.find("echo") == std::string::npos);
  CHECK(run(dir.path() + "/crx").status == 2);
  CHECK(run(dir.path() + "/crx absent").status == 2);
  CHECK(run(dir.path() + "/crx ../echo").status == 2);
}

}  // namespace
}  // namespace crx
