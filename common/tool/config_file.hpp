// The configuration file of the tools, crx.conf(5), for parsers of CLI11. It includes CLI11, which is slow to compile:
// only the file with a tool's options includes this header.
#pragma once

#include <CLI/CLI.hpp>
#include <istream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace crx::cli {

// Receives the sections [peer NAME], which crx-agent has.
class PeerSections {
 public:
  virtual ~PeerSections() = default;
  // A section begins; the name is not empty.
  virtual void begin(const std::string& name) = 0;
  // Takes a line of the section that has begun last. Returns an empty string, or what is wrong with the line.
  virtual std::string add(const std::string& key, const std::string& value) = 0;
};

// Reads `key = value` lines, whose keys are the tool's options that may stand in a file (CLI::Option::configurable). A
// tool takes the keys of its section ([migrate] for crx-migrate) and those before the first section; what stands in the
// sections of other tools is for them to check. CLI11's own reader splits values at spaces and commas, takes
// "[::1]:7077" for an array, and names no lines.
class ConfigFile : public CLI::Config {
 public:
  // app: the tool's parser with all of its options; it must outlive this object. peers: may be null, else outlives it
  // too.
  ConfigFile(const CLI::App& app, std::string tool, PeerSections* peers);
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
  // Called by CLI11, after the command line. Throws CLI::ConversionError, which names file, line and object.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

  // Whether the file has the key, and the command line does not have the option.
  bool gave(const std::string& key) const { return lines_.contains(key); }
  // The error's text; where the wrong value is from the file, with file and line in place of the option's dashes.
  std::string explain(const CLI::ParseError& error) const;

 private:
  struct Line;
  std::string place(int number) const;
  void take(const Line& line, std::vector<CLI::ConfigItem>& found) const;

  const CLI::App& app_;
  std::string tool_;
  PeerSections* peers_;
  mutable std::map<std::string, int> lines_;  // by key: where it stands; CLI11 calls from_config as const
};

// Gives the parser the option --config, whose default is /etc/crx/crx.conf if that exists. To be called when the parser
// has all of its options; arguments as for ConfigFile.
std::shared_ptr<ConfigFile> add_config_file(CLI::App& app, const std::string& tool, PeerSections* peers = nullptr);

}  // namespace crx::cli
