#include "wire/file_message.hpp"

namespace crx::wire {

FileIdentity to_message(const crx::FileIdentity& file) {
  FileIdentity message;
  message.set_path(file.path);
  message.set_dev(file.dev);
  message.set_ino(file.ino);
  message.set_size(file.size);
  message.set_mode(file.mode);
  message.set_rdev(static_cast<uint32_t>(file.rdev));
  message.set_mtime_ns(file.mtime_ns);
  message.set_build_id(file.build_id);
  message.set_digest(file.digest);
  message.set_storage(file.storage);
  message.set_mapped(file.mapped);
  message.set_writable(file.writable);
  message.set_used_by(file.used_by);
  return message;
}

crx::FileIdentity from_message(const FileIdentity& message) {
  crx::FileIdentity file;
  file.path = message.path();
  file.dev = message.dev();
  file.ino = message.ino();
  file.size = message.size();
  file.mode = message.mode();
  file.rdev = message.rdev();
  file.mtime_ns = message.mtime_ns();
  file.build_id = message.build_id();
  file.digest = message.digest();
  file.storage = message.storage();
  file.mapped = message.mapped();
  file.writable = message.writable();
  file.used_by = message.used_by();
  return file;
}

}  // namespace crx::wire
