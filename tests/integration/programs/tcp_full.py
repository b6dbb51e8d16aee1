"""tcp_full.py server ADDRESS PORT | client ADDRESS PORT FILE: the server sends until nothing more fits and ends its
direction; the client reads nothing before FILE exists, then all of it."""
import os
import socket
import sys
import time

BLOCK = bytes(range(251)) * 256


def part(position, length):
    start = position % 251
    return BLOCK[start:start + length]


def serve(address, port):
    with socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        connection, _ = listener.accept()
    connection.setblocking(False)
    sent, last = 0, time.monotonic()
    while time.monotonic() < last + 0.3:  # space may appear while segments are in flight
        try:
            sent += connection.send(part(sent, 40))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    connection.shutdown(socket.SHUT_WR)
    connection.setblocking(True)
    print(f"full {sent}", flush=True)
    answer = connection.recv(100, socket.MSG_WAITALL)
    print("PASS" if answer == b"%d" % sent else f"FAIL: the client has read {answer} of {sent} bytes", flush=True)


def read(address, port, file):
    connection = socket.socket()
    connection.settimeout(60)
    connection.connect((address, port))
    while not os.path.exists(file):
        time.sleep(0.01)
    got = 0
    while True:
        data = connection.recv(30000)
        if not data:
            break
        if data != part(got, len(data)):
            sys.exit(f"FAIL: other bytes at {got}")
        got += len(data)
    connection.sendall(b"%d" % got)
    connection.close()
    print("PASS", flush=True)


if sys.argv[1] == "server":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    read(sys.argv[2], int(sys.argv[3]), sys.argv[4])
