"""A client: submits jobs, waits for them, fetches what came of them.

A submit that was acknowledged is on the broker's disk. One whose answer is missed is repeated under its old number, over lost
connections and restarts of the broker, and is done once. All else is safe to repeat, and is repeated likewise.
"""

from __future__ import annotations

import datetime
import os
import random
import time
from pathlib import Path
from typing import Any, Iterable, Iterator, Sequence

import msgpack
import zmq

from .session import BEAT, BUSY, BYE, ERROR, HELLO_AGAIN, MESSAGE_BYTES, Session
from .spec import SPEC_FIELDS, TAGS, ms, ranges_of, spec

SUBMIT, WAIT, UNWAIT, CANCEL, RETRY, REMOVE, LIST, FETCH = 10, 12, 14, 15, 16, 17, 21, 23
NOT_FOUND = 3
SUBMIT_JOBS = 10000
STATES = ("blocked", "scheduled", "queued", "running", "done", "dead", "cancelled", "expired")
DONE = 4
POOLS = ("process", "thread", "loop")
REASONS = (None, "exit", "signal", "time-limit", "memory-limit", "handler-error", "cancelled", "expired", "worker-lost")
JOB_FIELDS = ("id", "state", "queue", "handler", "command", "owner", "name", "tag", "pool", "priority", "attempt", "retries",
              "failures", "crashes", "worker", "submitted_at", "due_at", "started_at", "finished_at", "timeout_ms", "exit_code",
              "signal", "reason", "wall_ms", "cpu_ms", "max_rss_kb", "progress", "error", "parent")


class TernError(Exception):
    """Something went wrong between this client and the broker."""


class NoBroker(TernError):
    """No broker answers. A submit may have been accepted."""


class Busy(TernError):
    """The broker has had too much to do for as long as this client tries."""


class Refused(TernError):
    """The broker said no; `code` is that of an ERROR (3: no such job, 4: refused, 77: not allowed)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class JobFailed(TernError):
    """The job has ended, and not as `done`. `state`, `reason`, `exit_code` and `signal` say how; `data` is what there is."""

    def __init__(self, job: int, state: str, reason: str | None, exit_code: int | None, signal: int | None, error: str | None,
                 data: bytes | None) -> None:
        super().__init__(f"job {job} is {state}: {error or reason or '?'}")
        self.job, self.state, self.reason, self.error, self.data = job, state, reason, error, data
        self.exit_code, self.signal = exit_code, signal


def default_address() -> str:
    """TERN_BROKER, or this user's own `tern up`, or the default."""
    if "TERN_BROKER" in os.environ:
        return os.environ["TERN_BROKER"]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = Path(runtime) / "tern" / "broker.sock" if runtime else None
    return f"ipc://{own}" if own and own.exists() else "ipc:///run/tern/broker.sock"


def command(argv: Sequence[str], *, env: Sequence[str] = (), cwd: str | None = None, stdin: bytes | None = None,
            **options: Any) -> list:
    """A command as SUBMIT wants it: it runs in this process's directory unless told otherwise."""
    payload = msgpack.packb([list(argv), list(env), cwd or os.getcwd(), stdin], use_bin_type=True)
    s = spec("exec", payload, **options)
    s[SPEC_FIELDS.index("program")] = os.path.basename(argv[0])
    if s[SPEC_FIELDS.index("retries")] is None:
        s[SPEC_FIELDS.index("retries")] = 0  # it may not be safe to repeat
    return s


def view(fields: list) -> dict[str, Any]:
    """A job_view as `tern show --json` names it."""
    job = dict(zip(JOB_FIELDS, list(fields) + [None] * len(JOB_FIELDS)))
    for key, names in (("state", STATES), ("tag", TAGS), ("pool", POOLS), ("reason", REASONS)):
        number = job[key]
        job[key] = names[number] if number is not None and 0 <= number < len(names) else None
    for key in ("submitted_at", "due_at", "started_at", "finished_at"):
        if job[key] is not None:
            job[key] = datetime.datetime.fromtimestamp(job[key] / 1000, datetime.timezone.utc)
    job["command"], job["parent"] = job["command"] or None, job["parent"] or None
    for key in ("wall_ms", "cpu_ms"):
        if job[key] is not None:
            job[key] /= 1000
    return job


class Client:
    """Talks with a broker. For one thread at a time; `with` closes it.

    address: of the broker; as TERN_BROKER says unless given. patience: seconds for which a broker that does not answer, or is
    too busy, is asked again before NoBroker or Busy is raised.
    """

    def __init__(self, address: str | None = None, *, patience: float = 30.0) -> None:
        self.patience = patience
        self.session = Session(address or default_address(), "tern-python 1")
        self.req = self.seq = 0
        self.welcome(time.monotonic() + patience)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Says goodbye: the broker forgets this session."""
        if self.session.socket is None:
            return
        try:
            self.session.send(BYE)
        except zmq.Again:
            pass
        self.session.close()

    # ---- jobs

    def submit(self, handler: str, payload: bytes | str = b"", **options: Any) -> int:
        """Submits one job; its id. options: see spec()."""
        return self.submit_many([spec(handler, payload, **options)])[0]

    def submit_command(self, argv: Sequence[str], **options: Any) -> int:
        return self.submit_many([command(argv, **options)])[0]

    def submit_many(self, jobs: Iterable[list]) -> list[int]:
        """Submits jobs that spec() and command() made, thousands in one message; their ids, in order.

        Each message is taken whole or not at all. Should one be refused, those before it have been taken."""
        ids: list[int] = []
        for some in self.messages_of(jobs):
            self.seq += 1  # the same for every repetition: that makes it exactly once
            first, count = self.call(SUBMIT, self.seq, some)[1:3]
            ids.extend(range(first, first + count))
        return ids

    def messages_of(self, jobs: Iterable[list]) -> Iterator[list[list]]:
        some: list[list] = []
        room = most = MESSAGE_BYTES // 2
        for job in jobs:
            size = len(msgpack.packb(job, use_bin_type=True))
            if len(job[-1]) > self.session.max_payload:
                raise ValueError(f"a payload has {len(job[-1])} bytes; there may be {self.session.max_payload}")
            if some and (len(some) == SUBMIT_JOBS or size > room):
                yield some
                some, room = [], most
            some.append(job)
            room -= size
        if some:
            yield some

    def wait(self, jobs: int | Iterable[int], timeout: float | None = None) -> bool:
        """Waits until all have ended, however. False: not within so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        ranges = ranges_of(jobs)
        for at in range(0, len(ranges), 1000):
            if self.call(WAIT, ranges[at:at + 1000], 0, until=until) is None:
                return False
        return True

    def result(self, job: int, *, wait: bool = True, timeout: float | None = None) -> bytes:
        """What a job has made. JobFailed: it has ended, and not as `done`. TimeoutError: it has not ended."""
        if wait and not self.wait(job, timeout):
            raise TimeoutError(f"job {job} has not ended within {timeout} s")
        state, _attempt, reason, exit_code, signal, error, data = (self.call(FETCH, job, None, 0) + [None] * 7)[:7]
        if state < DONE:
            raise TimeoutError(f"job {job} has not ended: it is {STATES[state]}")
        if state != DONE:
            raise JobFailed(job, STATES[state], REASONS[reason or 0], exit_code, signal, error, data)
        return data or b""

    def run(self, handler: str, payload: bytes | str = b"", **options: Any) -> bytes:
        """Submits, waits, and gives the result."""
        return self.result(self.submit(handler, payload, **options))

    def cancel(self, jobs: int | Iterable[int]) -> int:
        """How many were cancelled, or asked to stop."""
        return self.change(CANCEL, jobs)

    def retry(self, jobs: int | Iterable[int]) -> int:
        return self.change(RETRY, jobs)

    def remove(self, jobs: int | Iterable[int]) -> int:
        return self.change(REMOVE, jobs)

    def show(self, job: int) -> dict[str, Any]:
        """One job whole, with the names of `tern show --json`; times are datetimes."""
        for found in self.list(jobs=job):
            return found
        raise Refused(NOT_FOUND, f"there is no job {job}")

    def list(self, *, jobs: int | Iterable[int] | None = None, state: str | None = None, queue: str | None = None,
             newest_first: bool = False, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Jobs, page by page as they are asked for."""
        ranges = [] if jobs is None else ranges_of(jobs)
        states = 0 if state is None else 1 << STATES.index(state)
        at, left = 0, limit
        while True:
            page, at = self.call(LIST, ranges, states, queue, int(newest_first), min(left or 1000, 1000), at, 0)[:2]
            for fields in page[:left]:
                yield view(fields)
            if left is not None:
                left -= len(page)
            if not at or (left is not None and left <= 0):
                return

    # ---- asking

    def change(self, kind: int, jobs: int | Iterable[int]) -> int:
        ranges, changed = ranges_of(jobs), 0
        for at in range(0, len(ranges), 1000):
            n, _skipped, refusals = (self.call(kind, ranges[at:at + 1000]) + [0, 0, []])[:3]
            changed += n
            if refusals and not changed:
                raise Refused(refusals[0][1], refusals[0][2])
        return changed

    def welcome(self, until: float) -> None:
        answer = self.session.hello(until)
        if answer is None:
            raise NoBroker(f"no broker answers at {self.session.address}")
        if answer[0] == ERROR:
            raise Refused(answer[2], answer[3])

    def call(self, kind: int, *fields: Any, until: float | None = None) -> list | None:
        """Asks until there is an answer: its fields behind `req`. None: not until then (which is for WAIT)."""
        self.req += 1
        patience_until = time.monotonic() + self.patience
        sent, pause = False, 0.05
        while until is None or time.monotonic() < until:
            try:
                if not sent:
                    self.session.send(kind, self.req, *fields)
                    sent = True
                self.session.beat()
            except zmq.Again:
                if time.monotonic() > patience_until:
                    raise NoBroker(f"no broker answers at {self.session.address}") from None
            wait = self.session.heartbeat if sent else 0.02
            answer = self.session.recv(wait if until is None else max(0.0, min(wait, until - time.monotonic())))
            if answer is None:
                if self.session.is_lost():
                    self.session.open()
                    self.welcome(time.monotonic() + self.patience)
                    sent = False
            elif answer[0] == HELLO_AGAIN:
                self.welcome(time.monotonic() + self.patience)
                sent = False
            elif answer[0] == ERROR and answer[1] == 0:
                raise TernError(f"the broker did not understand: {answer[3]}")
            elif answer[0] == BEAT or answer[1] != self.req:
                pass  # a sign of life, or the answer to what was given up
            elif answer[0] == ERROR and answer[2] == BUSY:
                if time.monotonic() > patience_until:
                    raise Busy(answer[3])
                time.sleep(pause * random.uniform(0.5, 1))
                pause, sent = min(2 * pause, 1.0), False
            elif answer[0] == ERROR:
                job = answer[4] if len(answer) > 4 else 0
                raise Refused(answer[2], f"job {job} of this submit: {answer[3]}" if job else answer[3])
            else:
                return answer[2:]
        if sent:
            self.session.send(UNWAIT, self.req)
        return None
