"""A session with a broker (proto/PROTOCOL.md, sections 1 to 3)."""

from __future__ import annotations

import os
import random
import socket
import time
from typing import Any

import msgpack
import zmq

HELLO, WELCOME, HELLO_AGAIN, BYE, BEAT, ERROR = 1, 2, 3, 4, 5, 6
BUSY = 75
MESSAGE_BYTES = 16 << 20


class Session:
    """One connection at a time, one session at a time: HELLO until there is a WELCOME, then messages. No thread of its own."""

    def __init__(self, address: str, software: str) -> None:
        self.address, self.software = address, software
        self.instance = os.urandom(16)  # of this client, through all connections
        self.hellos = 0
        self.header = self.current = (0, 0)
        self.heartbeat, self.lost_after = 2.0, 10.0
        self.heard = self.beat_at = time.monotonic()
        self.max_payload = 1 << 20
        self.socket: Any = None
        self.context = zmq.Context()

    def open(self) -> None:
        """A new connection. What was on its way on the old one will never arrive."""
        if self.socket is not None:
            self.socket.close(linger=0)
        self.socket = self.context.socket(zmq.DEALER)
        for option, value in ((zmq.IMMEDIATE, 1), (zmq.LINGER, 0), (zmq.MAXMSGSIZE, MESSAGE_BYTES),
                              (zmq.RECONNECT_IVL, 50), (zmq.RECONNECT_IVL_MAX, 1000), (zmq.SNDHWM, 100),
                              (zmq.TCP_KEEPALIVE, 1)):
            self.socket.setsockopt(option, value)
        self.socket.connect(self.address)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close(linger=200)
            self.socket = None
        self.context.term()

    def send(self, kind: int, *fields: Any) -> None:
        """zmq.Again: there is no connection."""
        self.socket.send(msgpack.packb([kind, *self.current, *fields], use_bin_type=True), zmq.NOBLOCK)

    def recv(self, seconds: float) -> list | None:
        """The next message of this session without its header: [type, field, ...]. None: nothing came."""
        until = time.monotonic() + seconds
        while self.socket.poll(int(max(0.0, until - time.monotonic()) * 1000) + 1):
            kind, epoch, session, *fields = msgpack.unpackb(self.socket.recv(), raw=False)
            self.heard = time.monotonic()
            if kind in (WELCOME, HELLO_AGAIN, ERROR) or (epoch, session) == self.current:
                self.header = (epoch, session)
                return [kind, *fields]
            if time.monotonic() >= until:
                break
        return None

    def hello(self, until: float) -> list | None:
        """Begins a session: WELCOME, or an ERROR that is no `busy`. None: not until then."""
        pause, wait = 0.02, 1.0
        if self.socket is None:
            self.open()
        while time.monotonic() < until:
            self.current = (0, 0)
            try:
                self.hellos += 1
                self.send(HELLO, 1, 1, "client", self.software, [], self.instance, socket.gethostname(), os.getpid(), None,
                          [], [], [], [], 0, self.hellos)
            except zmq.Again:  # not connected yet
                self.socket.poll(10, zmq.POLLOUT)
                continue
            answer = self.answer_to_hello(min(wait, max(0.0, until - time.monotonic())))
            if answer and (answer[0] == WELCOME or answer[2] != BUSY):
                return answer
            time.sleep(pause * random.uniform(0.5, 1))
            pause, wait = min(2 * pause, 1.0), min(2 * wait, self.lost_after)
            self.open()
        return None

    def answer_to_hello(self, seconds: float) -> list | None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            answer = self.recv(left)
            if answer and answer[0] == WELCOME:
                self.current = self.header
                self.heartbeat, self.lost_after = answer[4] / 1000, answer[5] / 1000
                self.max_payload = answer[7] or self.max_payload
                return answer
            if answer and answer[0] == ERROR:
                return answer
        return None

    def beat(self) -> None:
        """Says BEAT when it is time; zmq.Again: there is no connection."""
        now = time.monotonic()
        if now >= self.beat_at:
            self.send(BEAT, 0)
            self.beat_at = now + self.heartbeat

    def is_lost(self) -> bool:
        return time.monotonic() - self.heard > self.lost_after
