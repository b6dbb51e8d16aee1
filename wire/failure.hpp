// Errors on the wire: one to one.
#pragma once

#include <string>

#include "common/base/error.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

Failure to_failure(const Error& error);
SessionMessage failure_message(const Error& error);
// The Error it was; `where` ("host b") is put into the step, so that the reader sees on which side it
// happened.
Error to_error(const Failure& failure, const std::string& where);

}  // namespace crx::wire
