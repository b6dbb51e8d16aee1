"""A client of Redis over one connection: `redis_client.py HOST PORT STOP`. Sets and gets 2,000 keys a second and
checks every answer, until the file STOP exists. Prints "talking", then once a second the number of keys, and at the
end PASS with the number and the longest wait for an answer in milliseconds. Any error, or the end of the connection,
ends it."""
import os
import socket
import sys
import time

RATE = 2000
host, port, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connection = socket.create_connection((host, port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
answers = connection.makefile("rb")


def command(*words):
    words = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def line():
    text = answers.readline()
    if not text.endswith(b"\r\n"):
        sys.exit("FAIL: the connection has ended")
    return text[:-2]


def check(got, wanted):
    if got != wanted:
        sys.exit(f"FAIL: {got} instead of {wanted}")


keys, longest, said = 0, 0.0, 0
began = time.monotonic()
while not os.path.exists(stop):
    behind = int((time.monotonic() - began) * RATE) - keys
    if behind <= 0:
        time.sleep(0.0005)
        continue
    batch = range(keys, keys + min(behind, 200))
    sent = time.monotonic()
    connection.sendall(b"".join(command("SET", f"k:{n % 50000}", f"value {n}") + command("GET", f"k:{n % 50000}") for n in batch))
    for n in batch:
        check(line(), b"+OK")
        value = b"value %d" % n
        check(line(), b"$%d" % len(value))
        check(line(), value)
    longest = max(longest, time.monotonic() - sent)
    if not keys:
        print("talking", flush=True)
    keys = batch.stop
    if keys // RATE > said:
        said = keys // RATE
        print(keys, flush=True)
took = time.monotonic() - began
print(f"PASS {keys} keys, {keys / took:.0f} a second, longest wait {longest * 1000:.1f} ms", flush=True)
