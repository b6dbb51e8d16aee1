#include "agent-dst/image_tool/image_decode.hpp"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <utility>

#include "common/base/error.hpp"
#include "common/image/kinds/image_walk.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

using Message = google::protobuf::Message;

std::string json_of(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) throw Error(ErrorCode::corrupt_image, "decoding", message.GetTypeName() + ": " + status.ToString());
  return text;
}

// The entries as a list; the number of bytes that follow an entry becomes a field of it.
class JsonWriter final : public ImageVisitor {
 public:
  void entry(Message& message) override {
    flush();
    last_ = json_of(message);
  }
  void data(std::span<const std::byte> bytes, std::size_t /*alignment*/) override {
    if (bytes.empty()) return;
    last_.pop_back();
    last_ += fmt::format("{}\"raw_bytes\":{}}}", last_.size() > 1 ? "," : "", bytes.size());
  }
  std::string take() {
    flush();
    return std::move(all_);
  }

 private:
  void flush() {
    if (!last_.empty()) all_ += (all_.empty() ? "" : ",") + std::exchange(last_, {});
  }
  std::string all_, last_;
};

}  // namespace

std::string image_to_json(const ImageSource& images, const std::string& name) {
  std::string out = fmt::format("{{\"image\":\"{}\"", name);
  if (!image_file::magic_of(name)) return out + fmt::format(",\"bytes\":{}}}", images.load(name).size());
  JsonWriter writer;
  walk_image(images.reader(name), writer);
  return out + ",\"entries\":[" + writer.take() + "]}";
}

}  // namespace crx
