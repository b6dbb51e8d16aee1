"""Runs a command of this host for callers from other hosts, as sshd does for a key with a forced command.

door.py serve PORT COMMAND...   runs COMMAND for each connection, which is its input and output
door.py knock HOST PORT ...     connects its own input and output with such a command; more words mean nothing
"""
import os
import shutil
import socket
import subprocess
import sys
import threading


def serve(port, command):
    with socket.create_server(("0.0.0.0", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                subprocess.run(command, stdin=connection, stdout=connection, check=False)


def knock(host, port):
    with socket.create_connection((host, port), 10) as connection:
        connection.settimeout(None)

        def send():
            with os.fdopen(0, "rb", closefd=False) as source, connection.makefile("wb") as sink:
                shutil.copyfileobj(source, sink)
            connection.shutdown(socket.SHUT_WR)
        threading.Thread(target=send, daemon=True).start()
        with connection.makefile("rb") as source, os.fdopen(1, "wb") as sink:
            shutil.copyfileobj(source, sink)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]), sys.argv[3:])
else:
    knock(sys.argv[2], int(sys.argv[3]))
