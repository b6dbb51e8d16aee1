"""tcp_client.py ADDRESS PORT STOP-FILE: talks to tcp_server over three connections; under load until the file
exists."""
import os
import select
import socket
import sys

ADDRESS, PORT, STOP = sys.argv[1], int(sys.argv[2]), sys.argv[3]
BLOCK = os.urandom(1 << 20)
OUTSTANDING = 4 << 20


def expected(position, length):
    start = position % len(BLOCK)
    return (BLOCK[start:] + BLOCK)[:length] if start + length > len(BLOCK) else BLOCK[start:start + length]


def drain(connection):
    text = b""
    while True:
        more = connection.recv(4096)
        if not more:
            return text
        text += more


def talk(connection):
    sent = got = 0
    ending = False
    connection.setblocking(False)
    while True:
        if not ending and os.path.exists(STOP):
            ending = True
            connection.shutdown(socket.SHUT_WR)
        writing = [connection] if not ending and sent - got < OUTSTANDING else []
        readable, writable, _ = select.select([connection], writing, [], 0.1)
        if writable:
            sent += connection.send(expected(sent, 65536))
        if readable:
            data = connection.recv(1 << 18)
            if not data:
                break
            if data != expected(got, len(data)):
                sys.exit(f"FAIL: other bytes came back at {got}")
            got += len(data)
            if got >> 20 != (got - len(data)) >> 20:
                print(got, flush=True)
    if not ending or got != sent:
        sys.exit(f"FAIL: {got} bytes of {sent} came back")
    return got


connections = [socket.create_connection((ADDRESS, PORT)) for _ in range(3)]
for each in connections:
    each.settimeout(60)
connections[1].sendall(b"half")
connections[1].shutdown(socket.SHUT_WR)
text = drain(connections[2])
if text != b"done!":
    sys.exit(f"FAIL: the third connection said {text}")
print("talking", flush=True)
total = talk(connections[0])
text = drain(connections[1])
if text != b"answer":
    sys.exit(f"FAIL: the second connection said {text}")
connections[2].sendall(b"later")
connections[2].shutdown(socket.SHUT_WR)
print(f"PASS {total}", flush=True)
