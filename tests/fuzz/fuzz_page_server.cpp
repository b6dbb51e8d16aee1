// A dump that a peer sends to the page server.
#include <sys/socket.h>

#include <string>

#include "agent-dst/image_store/page_server.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/image/page_images.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/sandbox.hpp"

namespace {

using namespace crx;

void serve(std::string_view sent) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  Fd peer(ends[1]);
  wire::PageStream stream(Fd(ends[0]), nullptr, "the client");
  sent = sent.substr(0, std::size_t{100} << 10);  // it waits in the socket until it is read
  if (::send(peer.get(), sent.data(), sent.size(), MSG_DONTWAIT) != static_cast<ssize_t>(sent.size()) && !sent.empty())
    std::abort();
  ::shutdown(peer.get(), SHUT_WR);
  receive_pages(fuzz::enter_sandbox() + "/set", stream);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fuzz::enter_sandbox();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    serve({reinterpret_cast<const char*>(data), size});
  } catch (const Error&) {
  }
  fuzz::empty_sandbox();
  return 0;
}
