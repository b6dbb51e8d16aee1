// Converts errors to messages and back without loss.
#pragma once

#include <string>

#include "common/base/error.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// The error as a message, part by part; failure_message() wraps it in a SessionMessage.
Failure to_failure(const Error& error);
SessionMessage failure_message(const Error& error);
// The Error that the message carries; `where` ("host b") is added to its step, so that the reader sees on which host it
// happened.
Error to_error(const Failure& failure, const std::string& where);

}  // namespace crx::wire
