"""A Python program with a number of threads that sleep and compute a little; ends when the go file exists."""
import os
import sys
import threading
import time


def work():
    numbers = {}
    while True:
        for i in range(100):
            numbers[i] = str(i)
        time.sleep(0.002)


for _ in range(int(sys.argv[2]) - 1):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
