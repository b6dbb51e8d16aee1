// Which disk a block device is.
#pragma once

#include <sys/types.h>

#include <string>

namespace crx {

// A name that no other disk has, on any host (its world-wide id, also by way of multipath), with the partition's number
// and the size in 512-byte sectors; empty where the kernel tells no such name (loop, RAM and many virtual disks: serial
// numbers and the UUIDs of volumes are copied with the machine). From /sys/dev/block
// (Documentation/ABI/stable/sysfs-block).
std::string block_device_identity(dev_t device);

}  // namespace crx
