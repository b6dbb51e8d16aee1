#include "wire/failure.hpp"

#include <array>

namespace crx::wire {
namespace {

ErrorCode parse_code(const std::string& name) {
  constexpr std::array kAll = {
      ErrorCode::victim_gone, ErrorCode::unsupported, ErrorCode::peer, ErrorCode::corrupt_image,
      ErrorCode::kernel,      ErrorCode::refused,     ErrorCode::bug};
  for (const ErrorCode code : kAll) {
    if (to_string(code) == name) return code;
  }
  return ErrorCode::peer;
}

}  // namespace

Failure to_failure(const Error& error) {
  Failure failure;
  failure.set_code(std::string(to_string(error.code())));
  failure.set_err(error.err());
  failure.set_step(error.step());
  failure.set_pid(error.pid());
  failure.set_reason(error.reason());
  failure.set_hint(error.hint());
  return failure;
}

SessionMessage failure_message(const Error& error) {
  SessionMessage message;
  *message.mutable_failure() = to_failure(error);
  return message;
}

Error to_error(const Failure& failure, const std::string& where) {
  Error error(parse_code(failure.code()), failure.step() + " at " + where, failure.reason(), failure.err());
  if (failure.pid() != 0) std::move(error).with_pid(failure.pid());
  if (!failure.hint().empty()) std::move(error).with_hint(failure.hint());
  return error;
}

}  // namespace crx::wire
