"""What a handler is, and what it may ask of the job that it runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from .asks import Asks, AsyncAsks

TAGS = {"auto": 0, "cpu": 1, "io": 2, "slow-io": 3}
BLOCKING, ASYNC = 1, 2
RESULT_BYTES = 1 << 20
LOG_CHARS = 256 << 10  # in one message


class Wire(Protocol):
    """What a job needs of the runner that runs it."""

    def send(self, what: int, *fields: Any) -> None: ...

    def poll(self) -> None: ...

    def wait(self, future: concurrent.futures.Future) -> Any: ...

    def listening(self) -> Any: ...


@dataclass(frozen=True)
class Handler:
    """A function that runs jobs, and what is declared of it."""

    name: str
    function: Callable[[Job], Any]
    description: str
    tag: str
    retries: int
    timeout: float | None
    thread_safe: bool

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def declaration(self) -> list:
        """The record runner_handler."""
        timeout_ms = None if self.timeout is None else int(self.timeout * 1000)
        return [self.name, self.description, BLOCKING | (ASYNC if self.is_async else 0), TAGS[self.tag], self.retries,
                timeout_ms, int(self.thread_safe)]


registry: dict[str, Handler] = {}


def handler(function: Callable | None = None, *, name: str | None = None, tag: str | None = None, retries: int = 0,
            timeout: float | None = None, thread_safe: bool | None = None, description: str | None = None) -> Any:
    """Makes a function a handler.

    name: what jobs call it; its own name unless given. tag: how it spends its time, for jobs that do not say: ``cpu``
    (computes; a process for itself while it runs), ``io`` (short waits; a thread among others in one process),
    ``slow-io`` (long waits; an ``async def`` among thousands on one loop), ``auto`` (decided from what was measured).
    Unless given: ``slow-io`` for an ``async def``, ``auto`` for others. retries: after a failure. timeout: in seconds.
    thread_safe: may it run in a thread beside others? Unless given: yes with ``io`` and ``slow-io``, no otherwise.
    description: one line for people; the first of the docstring unless given.
    """

    def register(f: Callable) -> Callable:
        h = make(f, name or f.__name__, tag, retries, timeout, thread_safe, description)
        if h.name in registry:
            raise ValueError(f"there are two handlers called {h.name}")
        registry[h.name] = h
        return f

    return register if function is None else register(function)


def make(f: Callable, name: str, tag: str | None, retries: int, timeout: float | None, thread_safe: bool | None,
         description: str | None) -> Handler:
    is_async = inspect.iscoroutinefunction(f)
    tag = tag or ("slow-io" if is_async else "auto")
    if tag not in TAGS:
        raise ValueError(f"handler {name}: there is no tag {tag!r}; it must be one of {', '.join(TAGS)}")
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", name):
        raise ValueError(f"handler {name!r}: a name has 1 to 128 of A-Z a-z 0-9 . _ : -")
    if retries < 0 or (timeout is not None and timeout <= 0):
        raise ValueError(f"handler {name}: retries must be 0 or more, and timeout more than 0")
    if thread_safe is None:
        thread_safe = is_async or tag in ("io", "slow-io")
    lines = (description or inspect.getdoc(f) or "").strip().splitlines()
    return Handler(name, f, lines[0][:1024] if lines else "", tag, retries, timeout, thread_safe)


def text(s: str) -> str:
    """Fit for the wire: no NUL, nothing that is no character."""
    return s.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


class Job(Asks):
    """A job that runs. It belongs to the call that it was given to. Its methods may be called from any thread, but for what it asks
    of the broker (asks.py): that is for the one that runs the handler."""

    def __init__(self, wire: Wire, job: int, attempt: int, queue: str, timeout_ms: int | None, name: str | None,
                 payload: bytes, checkpoint: bytes | None = None) -> None:
        super().__init__(wire)
        self.id = job
        self.attempt = attempt
        self.queue = queue
        self.name = name
        self.payload = payload
        self.checkpoint = checkpoint
        self.deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        self._line = ""
        self._lock = threading.Lock()

    def time_left(self) -> float | None:
        """Seconds until the time limit; None: there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def should_stop(self) -> bool:
        """Has it been cancelled, or has its time passed? A function that works for long asks now and then."""
        self._wire.poll()
        return self._stop.is_set() or self.time_left() == 0.0

    def log(self, line: str) -> None:
        """Adds a line to the job's log. What is printed goes there as well."""
        for at in range(0, max(len(line), 1), LOG_CHARS):
            self._wire.send(LOG, self.id, self.attempt, text(line[at:at + LOG_CHARS]))

    def progress(self, percent: int, note: str | None = None) -> None:
        """Says how far it is, from 0 to 100: `tern show` tells it while the attempt runs. A note goes to the job's log."""
        self._wire.send(PROGRESS, self.id, self.attempt, max(0, min(100, int(percent))), note and text(note[:LOG_CHARS]))

    # Of the runner:

    def write(self, s: str) -> None:
        """What was printed: handed on by whole lines."""
        with self._lock:
            lines = (self._line + s).split("\n")
            self._line = lines.pop()
        if len(self._line) > 4096:
            lines.append(self._line)
            self._line = ""
        if lines:
            self.log("\n".join(lines))

    def flush(self) -> None:
        with self._lock:
            line, self._line = self._line, ""
        if line:
            self.log(line)


class AsyncJob(AsyncAsks, Job):
    """The same for an ``async def``: one that should stop is cancelled."""

    _task: asyncio.Task | None = None

    async def run(self, function: Callable[[Job], Any]) -> Any:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self._stop.is_set():
            raise asyncio.CancelledError
        with self._wire.listening():
            return await function(self)

    def tell_stop(self) -> None:
        super().tell_stop()
        if self._task:
            self._in_loop(self._loop, self._task.cancel)


HELLO, RUN, STOP, ANSWER, READY, DONE, FAILED, LOG, PROGRESS = 1, 2, 3, 4, 16, 17, 18, 19, 20
