"""Reads the structure of images with code of its own, and damages them. For imagefuzz.py."""
import ctypes
import ctypes.util
import os
import struct

INTEGRITY = "crx-integrity.img"
MIB = 1 << 20
NUMBERS = [0, 1, 2, 3, 4, 7, 8, 63, 64, 65, 255, 256, 4095, 4096, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
           1 << 32, 1 << 47, (1 << 47) - 4096, 1 << 57, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1]


# -- XXH3, to make new manifests

class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


XXHASH = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
XXHASH.XXH3_128bits.restype = Hash128
XXHASH.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def digest(data):
    value = XXHASH.XXH3_128bits(data, len(data))
    return struct.pack(">QQ", value.high, value.low)


# -- protobuf, as far as it can be parsed without the schema

def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value & (1 << 64) - 1, at
        shift += 7
    raise ValueError


def parse(data):
    """Returns [(field, wire type, value)]; ValueError if it is not a message."""
    fields, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        field, kind = tag >> 3, tag & 7
        if field == 0 or field > 10000:
            raise ValueError
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
            if len(value) != size:
                raise ValueError
        else:
            raise ValueError
        if at > len(data):
            raise ValueError
        fields.append((field, kind, value))
    return fields


def build(fields):
    out = bytearray()
    for field, kind, value in fields:
        out += varint(field << 3 | kind)
        if kind == 0:
            out += varint(value)
        elif kind == 2:
            out += varint(len(value)) + value
        else:
            out += value
    return bytes(out)


def entries_of(name, data):
    """Returns (magics, [payload], raw rest): entries until one does not parse, as raw data behind an entry does not."""
    at = 4 if name == "inventory.img" else 8
    magics, entries = data[:at], []
    while at + 4 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        payload = data[at + 4:at + 4 + size]
        if len(payload) != size:
            break
        try:
            parse(payload)
        except ValueError:
            break
        entries.append(payload)
        at += 4 + size
    return magics, entries, data[at:]


def join(magics, entries, rest):
    return magics + b"".join(struct.pack("<I", len(each)) + each for each in entries) + rest


# -- damage

class Damage:
    def __init__(self, rng, bait):
        self.rng, self.bait = rng, bait

    def number(self, old):
        turn = self.rng.randrange(4)
        if turn == 0:
            return old + self.rng.choice([-1, 1, 4096, -4096, 1 << 32])
        if turn == 1:
            return old ^ 1 << self.rng.randrange(64)
        return self.rng.choice(NUMBERS)

    def text(self, old):
        up = "../" * self.rng.randrange(1, 12)
        return self.rng.choice([b"", b"/", b".", b"..", b"a" * 5000, b"\0", b"/proc/self/mem", b"%s%s%n" * 4,
                                (up + self.bait.lstrip("/")).encode(), self.bait.encode(), self.bait.encode() + b"/x/../y", old * 2,
                                old[:len(old) // 2], bytes(self.rng.randrange(256) for _ in range(8))])

    def message(self, payload, depth=0):
        """Changes one field of the message, or of a message in it."""
        fields = parse(payload)
        if not fields:
            return payload + varint(self.rng.randrange(1, 20) << 3) + varint(self.rng.choice(NUMBERS))
        index = self.rng.randrange(len(fields))
        field, kind, value = fields[index]
        turn = self.rng.randrange(10)
        if turn == 0:
            del fields[index]
        elif turn == 1:
            fields.insert(self.rng.randrange(len(fields) + 1), fields[index])
        elif turn == 2 and kind == 0:
            fields[index:index] = [fields[index]] * self.rng.choice([10, 1000, 70000])
        elif kind == 0:
            fields[index] = (field, kind, self.number(value))
        elif kind in (1, 5):
            size = len(value)
            fields[index] = (field, kind, (self.rng.choice(NUMBERS) & (1 << size * 8) - 1).to_bytes(size, "little"))
        else:
            try:
                inner = self.message(value, depth + 1) if value and depth < 6 and self.rng.random() < 0.9 else self.text(value)
            except ValueError:
                inner = self.text(value)
            fields[index] = (field, kind, inner)
        return build(fields)

    def image(self, name, data):
        """Changes the entries of an image."""
        magics, entries, rest = entries_of(name, data)
        if not entries:
            return self.octets(data)
        index = self.rng.randrange(len(entries))
        turn = self.rng.randrange(12)
        if turn == 0:
            del entries[index]
        elif turn == 1:
            entries.append(entries[index])
        elif turn == 2:
            other = self.rng.randrange(len(entries))
            entries[index], entries[other] = entries[other], entries[index]
        elif turn == 3:
            entries += [entries[index]] * self.rng.choice([100, 5000])
        else:
            for _ in range(self.rng.choice([1, 1, 1, 2, 5])):
                entries[index] = self.message(entries[index])
        return join(magics, entries, rest)

    def octets(self, data):
        """Changes bytes."""
        data = bytearray(data)
        if not data:
            return b"\0"
        at = self.rng.randrange(len(data))
        turn = self.rng.randrange(6)
        if turn == 0:
            del data[at:]
        elif turn == 1:
            data[at] ^= 1 << self.rng.randrange(8)
        elif turn == 2:
            del data[at:at + self.rng.randrange(1, 9)]
        elif turn == 3:
            data[at:at] = bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(1, 9)))
        elif turn == 4:
            data[at:at + 4] = struct.pack("<I", self.rng.choice(NUMBERS) & 0xffffffff)
        else:
            data += data[at:]
        return bytes(data)


def images_of(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith(".img"))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def seal(folder):
    """Makes a new manifest, so that it agrees with the present content of the files."""
    path = f"{folder}/{INTEGRITY}"
    magics, entries, _ = entries_of(INTEGRITY, read(path))
    out = join(magics, entries[:1], b"")
    for name in images_of(folder):
        if name == INTEGRITY:
            continue
        data = read(f"{folder}/{name}")
        chunks = b"".join(digest(data[at:at + MIB]) for at in range(0, len(data), MIB))
        whole = digest(chunks if name.startswith("pages-") else data)
        out += entry(name, len(data), whole, chunks)
    out += entry(INTEGRITY, len(out), digest(out), b"".join(digest(out[at:at + MIB]) for at in range(0, len(out), MIB)))
    write(path, out)


def entry(name, size, whole, chunks):
    payload = build([(1, 2, name.encode()), (2, 0, size), (3, 2, whole), (4, 2, chunks)])
    return struct.pack("<I", len(payload)) + payload
