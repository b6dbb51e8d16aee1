"""announce.py DEVICE ADDRESS: tells the network that ADDRESS is on this host now (a gratuitous ARP)."""
import socket
import struct
import sys

device, address = sys.argv[1], socket.inet_aton(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as link:
    link.bind((device, 0x0806))
    mac = link.getsockname()[4]
    everybody = b"\xff" * 6
    for operation in (1, 2):
        link.send(everybody + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + mac + address +
                  (everybody if operation == 2 else bytes(6)) + address)
