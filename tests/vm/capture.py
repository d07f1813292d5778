"""Every frame that crosses a network namespace, kept in memory for a while.

    with Capture("vm-test") as capture:
        ...
    capture.udp_ports(), capture.sees(b"canary")
"""
import ctypes
import select
import socket
import struct
import threading

ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
MOST_FRAMES = 200_000


def packet_socket(namespace):
    """It hears all links of the namespace. A socket stays in the namespace that it was made in; the thread comes back."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:
        if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"enter {namespace}")
        try:
            heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        finally:
            libc.setns(own.fileno(), CLONE_NEWNET)
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    return heard


def udp_port(frame):
    """Its destination, when it is UDP over IPv4 over Ethernet."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
        return None
    start = 14 + (frame[14] & 15) * 4
    return struct.unpack("!H", frame[start + 2:start + 4])[0]


class Capture:
    """A thread of its own fills `frames` until the end of the `with`. More than MOST_FRAMES are an error."""

    def __init__(self, namespace):
        self.namespace, self.frames = namespace, []

    def __enter__(self):
        self.socket = packet_socket(self.namespace)
        self.ours, self.theirs = socket.socketpair()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()
        return self

    def _listen(self):
        while len(self.frames) <= MOST_FRAMES:
            ready, _, _ = select.select([self.socket, self.theirs], [], [])
            # What was heard before the end is there: first the frames, then the word to stop.
            if self.socket in ready:
                self.frames.append(self.socket.recv(65536))
            else:
                return

    def __exit__(self, *_):
        self.ours.close()
        self.thread.join()
        self.theirs.close()
        self.socket.close()
        if len(self.frames) > MOST_FRAMES:
            raise AssertionError(f"more than {MOST_FRAMES} frames: some are missing")

    def udp_ports(self):
        return {udp_port(frame) for frame in self.frames} - {None}

    def sees(self, payload):
        return any(payload in frame for frame in self.frames)
