#!/usr/bin/python3
"""hostile.py ADDRESS WHAT [ARGUMENT...] - peers that do what none should, speaking ZMTP 3.0 (RFC 23) byte by byte.

ADDRESS is the path of a Unix socket, or HOST:PORT. WHAT is one of the functions at the end. Those that stay print `ready`
when they have done their worst, and hold on to their connections until standard input ends."""
import os
import random
import resource
import socket
import struct
import sys
import time

import msgpack

HELLO, WELCOME, BEAT, ERROR, SUBMIT, FETCH, FETCHED, STATS = 1, 2, 5, 6, 10, 23, 24, 33
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
PATIENCE_S = 30


def connect():
    if "/" in address:
        s = socket.socket(socket.AF_UNIX)
        where = address
    else:
        s = socket.socket()
        host, port = address.rsplit(":", 1)
        where = host, int(port)
    s.settimeout(PATIENCE_S)
    s.connect(where)
    return s


def frame(body, flags=0):
    return struct.pack(">BQ", flags | 2, len(body)) + body


def read(s, n):
    got = bytearray()
    while len(got) < n:
        more = s.recv(min(n - len(got), 1 << 20))
        if not more:
            raise EOFError
        got += more
    return bytes(got)


def read_frame(s):
    """The next message; commands (PING) are left out."""
    while True:
        flags = read(s, 1)[0]
        n = struct.unpack(">Q", read(s, 8))[0] if flags & 2 else read(s, 1)[0]
        body = read(s, n)
        if not flags & 4:
            return body


def shake():
    """A connection up to where messages begin."""
    s = connect()
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    s.sendall(GREETING + b"\x04" + bytes([len(ready)]) + ready)
    read(s, 64)
    flags, n = read(s, 2)
    if flags != 4:
        raise SystemExit("no READY")
    read(s, n)
    return s


class Session:
    def __init__(self):
        self.socket = shake()
        self.socket.sendall(frame(msgpack.packb([HELLO, 0, 0, 1, 1, "client", "hostile", [], os.urandom(16)])))
        kind, self.epoch, self.number = msgpack.unpackb(read_frame(self.socket))[:3]
        self.welcome = kind == WELCOME

    def pack(self, kind, *fields):
        return frame(msgpack.packb([kind, self.epoch, self.number, *fields], use_bin_type=True))


def try_send(s, data):
    """False: the connection was cut, or takes nothing more."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def hold(*what):
    print("ready", *what, flush=True)
    sys.stdin.read()


# ---- who reads nothing, or little ---------------------------------------------------------------------------


def hoard(peers, job, count):
    """Each peer asks count times for the job's result and reads none. In the end it does read, and tells what it got."""
    sessions = [Session() for _ in range(int(peers))]
    for i in range(0, int(count), 10):
        for s in sessions:
            s.socket.sendall(b"".join(s.pack(FETCH, k + 1, int(job), None, 0) for k in range(i, i + 10)))
        time.sleep(0.01)
    hold()
    answers, busy = 0, 0
    for s in sessions:
        s.socket.settimeout(1)
        try:
            for _ in range(int(count)):
                kind, _, _, req, *rest = msgpack.unpackb(read_frame(s.socket))
                answers += kind == FETCHED
                busy += kind == ERROR and rest[0] == 75
        except TimeoutError:
            pass
        s.socket.settimeout(PATIENCE_S)
    print("answers", answers, "busy", busy, flush=True)
    for s in sessions:
        s.socket.sendall(s.pack(FETCH, 1, int(job), None, 0))
        kind = msgpack.unpackb(read_frame(s.socket))[0]
        if kind != FETCHED:
            raise SystemExit(f"no FETCHED but {kind}")
    print("all is well", flush=True)


def deaf(count):
    """Asks so often, reads no answer; then it reads, and tells how many there were and what its next BEAT is answered with."""
    s = Session()
    for i in range(int(count)):
        s.socket.sendall(s.pack(STATS, i + 1))
    hold()
    n = 0
    s.socket.settimeout(1)
    try:
        while read_frame(s.socket):
            n += 1
    except TimeoutError:
        pass
    s.socket.settimeout(PATIENCE_S)
    s.socket.sendall(s.pack(BEAT, 1))
    print(n, "answers, then", msgpack.unpackb(read_frame(s.socket))[0], flush=True)


def slow(job, count, rate):
    """Asks count times for the job's result, at most 8 at a time, and reads so many answers a second; repeats what gets busy."""
    s = Session()
    asked, got, busy = 0, 0, 0
    print("ready", flush=True)
    while got < int(count):
        while asked < got + 8 and asked < int(count):
            asked += 1
            s.socket.sendall(s.pack(FETCH, asked, int(job), None, 0))
        time.sleep(1 / float(rate))
        kind, _, _, req, *rest = msgpack.unpackb(read_frame(s.socket))
        got += kind == FETCHED
        if kind == ERROR and rest[0] == 75:
            busy += 1
            s.socket.sendall(s.pack(FETCH, req, int(job), None, 0))
    print("answers", got, "busy", busy, flush=True)


# ---- idle ---------------------------------------------------------------------------------------------------


def idle(silent, greeted, sessions):
    """Connections that say nothing, or only ZMTP's greeting, or HELLO and then nothing."""
    held = [connect() for _ in range(int(silent))]
    held += [shake() for _ in range(int(greeted))]
    held += [Session() for _ in range(int(sessions))]
    hold(len(held))


def almost(count):
    """Messages of 16 MiB that lack their last byte."""
    held = []
    for _ in range(int(count)):
        held.append(shake())
        try_send(held[-1], frame(bytes(16 << 20))[:-1])
    hold(len(held))


def cut_off(count):
    """Many messages with ZMTP's PING between them, and the end before they can be read."""
    ping = b"\x04PING" + struct.pack(">H", 100)
    data = (frame(b"\xc0") * 20 + frame(ping, flags=4)) * 400
    for _ in range(int(count)):
        s = shake()
        s.setblocking(False)
        try_send(s, data)
        s.close()
    print("ready", flush=True)


def come_and_go(count):
    """Sessions that end without a word."""
    welcome = 0
    for _ in range(int(count)):
        s = Session()
        welcome += s.welcome
        s.socket.close()
    print("ready, of", count, "were welcome", welcome, flush=True)


def crowd(count):
    """As many connections as count, or as there is room for."""
    held = []
    try:
        while len(held) < int(count):
            held.append(connect())
            held[-1].sendall(GREETING)
    except OSError as error:
        print(error, flush=True)
    hold(len(held))


# ---- full speed ---------------------------------------------------------------------------------------------


def again_and_again(seconds, open_one, data):
    """On one connection after the other, as fast as it is taken."""
    until = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < until:
        try:
            s = open_one()
        except (OSError, EOFError):  # the broker has enough connections, or cuts ours while it is made
            time.sleep(0.01)
            continue
        s.settimeout(0.5)
        while time.monotonic() < until and try_send(s, data):
            sent += len(data)
        s.close()
    return sent


def submits(seconds):
    """New jobs of a session, 15 MiB in each submit, all of them good. At most 100 MiB, for the disk's sake."""
    until = time.monotonic() + seconds
    spec = ["default", "nobody-has-it"] + [None] * 15 + [bytes(1 << 20)]
    s = Session()
    sent = 0
    while time.monotonic() < until:
        sent += 1
        if not try_send(s.socket, s.pack(SUBMIT, sent, min(sent, 7), [spec] * 15)):
            break
    return sent * (15 << 20)


FLOODS = {
    "bytes": lambda s: again_and_again(s, connect, random.randbytes(1 << 16)),
    "greetings": lambda s: again_and_again(s, connect, GREETING[:40]),
    "huge": lambda s: again_and_again(s, shake, struct.pack(">BQ", 2, (1 << 63) - 1) + bytes(1 << 16)),
    "halves": lambda s: again_and_again(s, shake, frame(bytes(1 << 16))[:1000]),
    "messages": lambda s: again_and_again(s, shake, b"".join(frame(random.randbytes(n)) for n in range(1, 300))),
    "parts": lambda s: again_and_again(s, shake, frame(b"x", flags=1) * 1000),
    "hellos": lambda s: again_and_again(s, shake, frame(msgpack.packb([HELLO, 0, 0, 1, 1, "client", "", [], bytes(16)])) * 100),
    "foreign": lambda s: again_and_again(s, shake, frame(msgpack.packb([BEAT, 7, 7, 7])) * 1000),
    "large": lambda s: again_and_again(s, shake, frame(b"\xc6" + bytes((16 << 20) - 1))),
    "submits": submits,
}


def flood(seconds, *kinds):
    """Each kind from a process of its own."""
    for kind in kinds:
        if os.fork() == 0:
            sent = FLOODS[kind](float(seconds))
            print(kind, sent >> 10, "KiB", flush=True)
            os._exit(0)
    print("ready", flush=True)
    for _ in kinds:
        os.wait()


ROLES = {f.__name__: f for f in (hoard, deaf, slow, idle, almost, cut_off, come_and_go, crowd, flood)}
if __name__ == "__main__":
    address = sys.argv[1]
    random.seed(7)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ROLES[sys.argv[2]](*sys.argv[3:])
