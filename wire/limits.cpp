#include "wire/limits.hpp"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace crx::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

[[noreturn]] void too_much(const FieldDescriptor& field, std::size_t has, std::size_t limit) {
  throw Error(ErrorCode::peer, "checking a message",
              fmt::format("{} holds {}, the limit is {}", field.full_name(), has, limit));
}

// True for text fields. File names, and texts that contain file names, need not be UTF-8, so they are declared as
// bytes.
bool is_text(const FieldDescriptor& field) {
  static constexpr std::string_view kNames[] = {"path",   "storage", "used_by", "comm", "object", "reason",
                                                "remedy", "carry",   "step",    "hint", "detail"};
  return field.type() == FieldDescriptor::TYPE_STRING ||
         std::find(std::begin(kNames), std::end(kNames), field.name()) != std::end(kNames);
}

void check_string(const Message& message, const Reflection& reflection, const FieldDescriptor& field, int index) {
  if (!is_text(field)) return;  // other bytes fields are bounded by the size of the message
  std::string scratch;
  const std::string& text = index < 0 ? reflection.GetStringReference(message, &field, &scratch)
                                      : reflection.GetRepeatedStringReference(message, &field, index, &scratch);
  if (text.size() > kMaxStringBytes) too_much(field, text.size(), kMaxStringBytes);
}

void check(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool sub = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const bool text = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (!field->is_repeated()) {
      if (sub) check(reflection.GetMessage(message, field));
      if (text) check_string(message, reflection, *field, -1);
      continue;
    }
    const int count = reflection.FieldSize(message, field);
    if (count > kMaxElements) too_much(*field, static_cast<std::size_t>(count), kMaxElements);
    for (int i = 0; (sub || text) && i < count; ++i) {
      if (sub) check(reflection.GetRepeatedMessage(message, field, i));
      if (text) check_string(message, reflection, *field, i);
    }
  }
}

}  // namespace

void check_limits(const SessionMessage& message) {
  if (message.body_case() == SessionMessage::BODY_NOT_SET) {
    throw Error(ErrorCode::peer, "checking a message", "it is empty or of a kind this crx does not know");
  }
  check(message);
}

bool source_may_send(SessionMessage::BodyCase kind) {
  switch (kind) {
    case SessionMessage::BODY_NOT_SET:
    case SessionMessage::kWelcome:
    case SessionMessage::kPreflightResult:
    case SessionMessage::kRoundDone:
    case SessionMessage::kPrepared:
    case SessionMessage::kResumed:
    case SessionMessage::kNever:
    case SessionMessage::kSessionState:
    case SessionMessage::kExited:
    case SessionMessage::kStoreReady:
    case SessionMessage::kStored:
      return false;
    default:
      return true;
  }
}

const char* kind_name(SessionMessage::BodyCase kind) {
  const FieldDescriptor* field = SessionMessage::descriptor()->FindFieldByNumber(static_cast<int>(kind));
  return field == nullptr ? "nothing" : field->name().c_str();
}

}  // namespace crx::wire
