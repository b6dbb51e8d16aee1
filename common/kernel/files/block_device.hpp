// The identity of the disk behind a block device.
#pragma once

#include <sys/types.h>

#include <string>

namespace crx {

// A name that no other disk on any host has (its world-wide id, which is also the same via multipath), with the
// partition number and the size in 512-byte sectors. Empty when the kernel reports no such name (loop, RAM and many
// virtual disks); serial numbers and volume UUIDs do not serve, since they are copied with a virtual machine. Source:
// /sys/dev/block (Documentation/ABI/stable/sysfs-block).
std::string block_device_identity(dev_t device);

}  // namespace crx
