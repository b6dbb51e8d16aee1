// Connections as tcp-stream-INO.img holds them, and the steps that bring one back to life.
#pragma once

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {

// Error(corrupt_image) for lengths that cannot be. stream.state is the entry's.
TcpStream load_stream(const img::inet_sk_entry& isk, const ImageSource& images);

// A socket out of repair mode: sends what was never sent, and ends its direction if the original had.
void resume_sending(int fd, const TcpStream& stream, const std::string& object);

// Lets a connection whose peer is elsewhere get the FIN that it had got: it was acknowledged, and does not come again.
void replay_fin(const TcpStream& stream, const InetAddress& local, const InetAddress& peer, const std::string& object);

// What the other end knows of a connection that has nothing under way.
TcpStream mirrored(const TcpStream& stream);

// Connects to a listening socket of this host, waiting for the handshake. The socket may be blocking or not.
void connect_here(int fd, const InetAddress& to, const std::string& object);

// Makes the new socket one whose connection is over, with `rest` to be read still.
void make_ended(int fd, int family, const std::string& rest, const std::string& object);

}  // namespace crx
