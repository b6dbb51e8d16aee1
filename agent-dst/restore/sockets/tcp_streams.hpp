// TCP connections as tcp-stream-INO.img stores them, and the steps that restore one.
#pragma once

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {

// Reads a stream; stream.state is the entry's. Throws Error(corrupt_image) for impossible lengths.
TcpStream load_stream(const img::inet_sk_entry& isk, const ImageSource& images);

// For a socket that has left repair mode: sends the bytes that were never sent, and a FIN if the original had ended its
// direction.
void resume_sending(int fd, const TcpStream& stream, const std::string& object);

// Sends a connection whose peer is elsewhere the FIN that the original had received: the peer got it acknowledged and
// does not send it again.
void replay_fin(const TcpStream& stream, const InetAddress& local, const InetAddress& peer, const std::string& object);

// Returns the stream as the other end has it, for a connection with nothing in flight.
TcpStream mirrored(const TcpStream& stream);

// Connects to a listening socket of this host and waits for the handshake. The socket may be blocking or not.
void connect_here(int fd, const InetAddress& to, const std::string& object);

// Turns the new socket into one whose connection has ended, with `rest` still to be read.
void make_ended(int fd, int family, const std::string& rest, const std::string& object);

}  // namespace crx
