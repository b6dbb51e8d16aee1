#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/fd.hpp"
#include "wire/connection/congestion.hpp"

using namespace crx;
using namespace crx::wire;

TEST_CASE("bbr is kept on long paths, as is any other choice of the host") {
  CHECK(better_congestion_control("bbr", 80) == "reno");
  CHECK(better_congestion_control("bbr", 999) == "reno");
  CHECK(better_congestion_control("bbr", 1000).empty());
  CHECK(better_congestion_control("bbr", INT64_MAX).empty());  // unknown round trip
  CHECK(better_congestion_control("cubic", 80).empty());
  CHECK(better_congestion_control("dctcp", 80).empty());
}

TEST_CASE("congestion control is requested by name, and a missing one is no error") {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ask_congestion_control(socket.get(), "reno");
  CHECK(congestion_control(socket.get()) == "reno");
  ask_congestion_control(socket.get(), "no-such-thing");
  ask_congestion_control(socket.get(), {});
  CHECK(congestion_control(socket.get()) == "reno");
  CHECK(congestion_control(-1).empty());
}
