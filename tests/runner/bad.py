"""A runner without any package, that does wrong what its first argument says. Without one it does right: handler `bad`, of all pools."""

import collections
import os
import struct
import sys
import time

import msgpack


def frame(*fields):
    body = msgpack.packb(list(fields), use_bin_type=True)
    return struct.pack(">I", len(body)) + body


def send(*fields):
    os.write(1, frame(*fields))


def messages():
    data = b""
    while some := os.read(0, 65536):
        data += some
        while len(data) >= 4 and len(data) >= 4 + (n := struct.unpack(">I", data[:4])[0]):
            yield msgpack.unpackb(data[4:4 + n], raw=False)
            data = data[4 + n:]


def handlers(how):
    good = ["bad", "", 3, None, None, None, 1]
    if how == "names":
        return [["no spaces", "", 1, 1], ["echo", "", 1, 1], good, good, ["formless", "", 0, 1], ["tagless", "", 1, 9]]
    return [good]


def write_all(data):
    while data:
        data = data[os.write(1, data):]


def spawn(job, attempt, req):
    """A child that starts in an hour."""
    return frame(22, job, attempt, req, [[None, "bad", None, None, None, 3600000]], [f"k{req}"], 0)


def answer(how, job, attempt):
    if how == "garbage":
        os.write(1, b"Traceback (most recent call last):\n")
    elif how == "no-message":
        send("hello")
    elif how == "half":
        os.write(1, b"\0\0\1\0half of it")
        sys.exit(0)
    elif how == "other-job":
        send(17, job + 1, attempt, b"", None)
    elif how == "twice":
        send(17, job, attempt, b"first", None)
        send(17, job, attempt, b"second", None)
    elif how == "silent":
        pass
    elif how == "closes":
        os.close(1)
        os.close(0)
        time.sleep(60)
    elif how == "ready-twice":
        send(16, 1, "bad", [], 10, [])
    elif how == "floods":
        for _ in range(200000):
            send(19, job, attempt, "x" * 100)
        send(17, job, attempt, b"flooded", None)
    elif how == "late":
        send(17, job, attempt, b"right", None)
        send(19, job, attempt, "too late")
        send(20, job, attempt, 50)
    elif how == "asks":
        write_all(spawn(job + 1, attempt, 1) + frame(23, job, attempt, 2, [[5, 1]], 1) +
                  b"".join(spawn(job, attempt, req) for req in range(3, 68)))
    elif how == "deaf":
        while True:
            write_all(frame(23, job, attempt, 2, [[5, 1]], 1) * 2000)
    elif how == "text":
        send(18, job, attempt, "bell \a and\nline", 0, -5)
    else:
        send(17, job, attempt, b"right", None)


how = sys.argv[1] if len(sys.argv) > 1 else ""
answers = collections.Counter()
flag = sys.argv[2] if len(sys.argv) > 2 else None
for what, *fields in messages():
    if what == 1:
        telling = fields[4] is None
        if how == "version":
            send(16, 7, "bad", [], 10, handlers(how))
        if how == "mute" or (how == "exits" and not telling and not (flag and os.path.exists(flag))):
            print("this is why", file=sys.stderr)
            time.sleep(1000 if how == "mute" else 0)
            sys.exit(5)
        send(16, 1, "bad", [], 2 if how == "room" else 10, handlers(how))
    elif what == 2:
        if how == "room" and fields[1]:
            time.sleep(0.05)
        answer(how, fields[0], fields[1])
    elif what == 4:
        answers[fields[3]] += 1
        if sum(answers.values()) == 66:
            send(17, fields[0], fields[1], repr(sorted(answers.items())).encode(), None)
