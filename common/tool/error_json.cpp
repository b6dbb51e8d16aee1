#include "common/tool/error_json.hpp"

#include <nlohmann/json.hpp>

#include "common/base/error.hpp"

namespace crx {

std::string error_json(const std::exception& error) {
  using nlohmann::ordered_json;
  const auto* known = dynamic_cast<const Error*>(&error);
  ordered_json line = {{"event", "failed"}, {"code", to_string(known != nullptr ? known->code() : ErrorCode::bug)}};
  line["message"] = error.what();
  if (known != nullptr) {
    line["step"] = known->step();
    if (!known->hint().empty()) line["hint"] = known->hint();
    if (!known->image().empty()) line["image"] = known->image();
    if (known->pid() != 0) line["pid"] = known->pid();
  }
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string finding_line(std::string_view object, std::string_view reason, std::string_view remedy) {
  using nlohmann::ordered_json;
  const ordered_json line = {{"event", "finding"}, {"object", object}, {"reason", reason}, {"remedy", remedy}};
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string signed_line(std::string_view set, std::string_view signer) {
  using nlohmann::ordered_json;
  const ordered_json line = {{"event", "signed"}, {"set", set}, {"signer", signer}};
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace crx
