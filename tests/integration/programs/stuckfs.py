"""stuckfs.py DIR: a file system with one file, DIR/file, that caches nothing. Stop it by SIGSTOP, and everybody who looks at
the file waits until it goes on or dies."""
import ctypes
import errno
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 29, 36, 42)
ROOT, FILE = 1, 2
CONTENT = b"some content\n" * 100


def attributes(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100644, len(CONTENT))
    return struct.pack("6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    """Returns the answer to a request, an errno value, or None where none is wanted."""
    if opcode == INIT:
        return struct.pack("4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP:
        if body.split(b"\0")[0] != b"file":
            return errno.ENOENT
        return struct.pack("4Q2I", FILE, 1, 0, 0, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("Q2I", 0, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("Q2I", 0, 0, 0)
    if opcode == READ:
        _, offset, size = struct.unpack_from("2QI", body)
        return CONTENT[offset:offset + size]
    if opcode == STATFS:
        return bytes(80)
    if opcode in (RELEASE, RELEASEDIR, FLUSH):
        return b""
    return None if opcode in (FORGET, BATCH_FORGET, INTERRUPT) else errno.ENOSYS


def main(directory):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if ctypes.CDLL(None, use_errno=True).mount(b"stuckfs", directory.encode(), b"fuse", 6, options.encode()) != 0:
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    print("ready", flush=True)
    while True:
        request = os.read(device, 1 << 18)
        _, opcode, unique, node = struct.unpack_from("2I2Q", request)
        result = answer(opcode, node, request[40:])
        if result is None:
            continue
        error, data = (-result, b"") if isinstance(result, int) else (0, result)
        os.write(device, struct.pack("IiQ", 16 + len(data), error, unique) + data)


main(sys.argv[1])
