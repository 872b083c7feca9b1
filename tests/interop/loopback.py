"""Runs a command in a network that has loopback and nothing else.

    python -m tests.interop.loopback COMMAND ...    (inside a fresh network namespace)

Third-party programs call their makers' servers, look for peers and announce
themselves; here they cannot.  A fresh namespace's loopback is down: this takes
it up, without needing any tool, and becomes the command.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS = 0x8914  # netdevice(7)
IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_RUNNING = 0x40
IFF_MULTICAST = 0x1000  # LAN discovery is tested on loopback
ALONE = "GATE_ALONE"  # set where only loopback exists


def wrapper() -> list[str]:
    """What stands before a command to run it alone; empty where the system refuses."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    for options in (["--net"], ["--map-root-user", "--net"]):  # as root; as anybody
        prefix = [unshare, *options, sys.executable, "-m", "tests.interop.loopback"]
        trial = [*prefix, sys.executable, "-c", "pass"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return prefix
    return []


def take_up() -> None:
    flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_MULTICAST
    request = struct.pack("16sh14x", b"lo", flags)  # struct ifreq
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


if __name__ == "__main__":
    take_up()
    os.environ[ALONE] = "1"
    os.execvp(sys.argv[1], sys.argv[1:])
