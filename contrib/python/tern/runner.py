"""python3 -m tern.runner MODULE...: offers the handlers of these modules to the worker that started it.

It speaks the runner protocol (proto/RUNNER.md) on its standard input and output, and is no program for a terminal.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import contextvars
import importlib
import importlib.util
import io
import os
import queue
import resource
import select
import signal
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Iterator

import msgpack

from .asks import Failed, FailedForGood
from .handlers import (ANSWER, DONE, FAILED, HELLO, READY, RESULT_BYTES, RUN, STOP, AsyncJob, Handler, Job, handler, registry,
                       text)

__all__ = ["main", "handler"]

VERSION = 1
PROCESS, THREAD, LOOP = 0, 1, 2
ROOM = 1000  # runs at once; the worker's slots are the usual bound
FRAME_BYTES = 16 << 20
SENT_BYTES = 4 << 20
ERROR_CHARS = 1024

current: contextvars.ContextVar[Job | None] = contextvars.ContextVar("tern_job", default=None)


class Talk:
    """Messages with the worker: each preceded by its length as four bytes, big-endian."""

    def __init__(self) -> None:
        """Takes standard input and output for itself: what the handlers print goes to standard error."""
        sys.stdout.flush()
        self.input, self.output = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self.bytes = bytearray()
        self.lock = threading.Lock()
        self.pid = os.getpid()

    def send(self, what: int, *fields: Any) -> None:
        body = msgpack.packb([what, *fields], use_bin_type=True)
        if len(body) > SENT_BYTES:  # the worker would end this process, and with it the runs of others
            raise ValueError(f"a message to the worker of {len(body)} bytes; there may be {SENT_BYTES}")
        frame = memoryview(struct.pack(">I", len(body)) + body)
        if os.getpid() != self.pid:
            os._exit(1)  # a handler forked, and its child came back from it: it is not to answer
        with self.lock:
            while frame:
                frame = frame[os.write(self.output, frame):]

    def read(self) -> Iterator[list]:
        """Reads once, which may wait; the messages that are whole now."""
        some = os.read(self.input, 1 << 18)
        if not some:
            os._exit(0)  # the worker is gone, and nobody waits for what goes on here
        self.bytes += some
        at = 0
        while len(self.bytes) - at >= 4:
            n = struct.unpack_from(">I", self.bytes, at)[0]
            if n > FRAME_BYTES:
                raise SystemExit("tern.runner: what stands on standard input is not the runner protocol")
            if len(self.bytes) - at - 4 < n:
                break
            yield msgpack.unpackb(bytes(self.bytes[at + 4:at + 4 + n]), raw=False)
            at += 4 + n
        del self.bytes[:at]

    def is_readable(self) -> bool:
        return bool(select.select([self.input], [], [], 0)[0])


class JobStream(io.TextIOBase):
    """Standard output and error where many jobs run at once: what is printed goes to the log of the job that prints."""

    def __init__(self, elsewhere: Any) -> None:
        self.elsewhere = elsewhere

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.elsewhere.fileno()

    def write(self, s: str) -> int:
        job = current.get()
        if job is None:
            return self.elsewhere.write(s)
        job.write(s)
        return len(s)

    def flush(self) -> None:
        self.elsewhere.flush()


class Runner:
    """What the three kinds share: jobs in, outcomes out."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.jobs: dict[tuple[int, int], Job] = {}
        self.waiting: collections.deque[tuple[Job, Handler]] = collections.deque()

    # ---- in

    def hear(self) -> None:
        for message in self.talk.read():
            self.on_message(*message)

    def on_message(self, what: int, *fields: Any) -> None:
        if what == RUN:
            self.take(*(fields + (None,) * 8)[:8])
        elif what == STOP and fields[:2] in self.jobs:
            self.jobs[fields[:2]].tell_stop()
        elif what == ANSWER and fields[:2] in self.jobs:
            self.jobs[fields[:2]].on_answer(*fields[2:])

    def take(self, number: int, attempt: int, queue_name: str, name: str, timeout_ms: int | None, label: str | None,
             payload: bytes | None, checkpoint: bytes | None) -> None:
        h = registry.get(name)
        if h is None:
            self.send(FAILED, number, attempt, f"this runner has no handler {name}", 1)
            return
        kind = AsyncJob if h.is_async else Job
        job = kind(self, number, attempt, queue_name, timeout_ms, label, payload or b"", checkpoint)
        self.jobs[number, attempt] = job
        self.begin(job, h)

    def begin(self, job: Job, h: Handler) -> None:
        self.waiting.append((job, h))

    # ---- for Job

    def send(self, what: int, *fields: Any) -> None:
        self.talk.send(what, *fields)

    def poll(self) -> None:
        """Hears of a stop, where nobody else listens while a job runs."""

    def wait(self, future: concurrent.futures.Future) -> Any:
        """Waits for an answer."""
        return future.result()

    def listening(self) -> Any:
        """While an async handler runs alone."""
        return contextlib.nullcontext()

    # ---- out

    def end(self, job: Job, result: Any, error: BaseException | None, cpu_us: int | None) -> None:
        job.flush()
        if error is None:
            try:
                data = result_bytes(result)
            except Failed as e:
                error = e
        self.jobs.pop((job.id, job.attempt), None)
        if error is None:
            self.send(DONE, job.id, job.attempt, data, cpu_us)
        else:
            self.send(FAILED, job.id, job.attempt, text(words_of(error)[:ERROR_CHARS]), int(getattr(error, "for_good", False)), cpu_us)


def result_bytes(result: Any) -> bytes | None:
    if isinstance(result, str):
        result = result.encode()
    if result is not None and not isinstance(result, (bytes, bytearray, memoryview)):
        raise FailedForGood(f"the handler returned a {type(result).__name__}; it must be bytes, str or None")
    if result is not None and len(result) > RESULT_BYTES:
        raise FailedForGood(f"its result has {len(result)} bytes; there may be {RESULT_BYTES}")
    return None if result is None else bytes(result)


def words_of(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # a handler's own class, which has no words either
        said = ""
    if isinstance(error, Failed):
        return said or "the handler failed, and did not say why"
    if isinstance(error, SystemExit):
        return f"the handler called sys.exit({error.code!r})"
    if isinstance(error, asyncio.CancelledError):
        return "stopped"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def call(job: Job, h: Handler) -> tuple[Any, BaseException | None]:
    """Runs a handler here and now; an exception that it did not mean goes to its log."""
    token = current.set(job)
    try:
        if h.is_async:
            return asyncio.run(job.run(h.function)), None
        return h.function(job), None
    except BaseException as error:  # the job's, whatever it is
        if not isinstance(error, (Failed, asyncio.CancelledError)):
            job.log(traceback.format_exc().rstrip())
        return None, error
    finally:
        current.reset(token)


class ProcessRunner(Runner):
    """One job at a time, in the main thread of a process without other threads."""

    def run(self, early: list[list]) -> None:
        for message in early:
            self.on_message(*message)
        while True:
            while not self.waiting:
                self.hear()
            self.work(*self.waiting.popleft())

    def work(self, job: Job, h: Handler) -> None:
        children, from_us = children_of_this(), cpu_us()
        result, error = call(job, h)
        sys.stdout.flush()
        sys.stderr.flush()
        end_children(children)
        self.end(job, result, error, cpu_us() - from_us)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.talk.input, self.hear)
        try:
            yield
        finally:
            loop.remove_reader(self.talk.input)

    def poll(self) -> None:
        if threading.current_thread() is threading.main_thread():
            while self.talk.is_readable():
                self.hear()

    def wait(self, future: concurrent.futures.Future) -> Any:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a job of the process pool asks the broker in the thread that runs its handler")
        while not future.done():
            self.hear()
        return future.result()


class ThreadRunner(Runner):
    """Many jobs, each in a thread; as many threads as there were ever jobs at once."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(talk)
        self.work: queue.SimpleQueue[tuple[Job, Handler]] = queue.SimpleQueue()
        self.free = 0
        self.lock = threading.Lock()

    def run(self, early: list[list]) -> None:
        for message in early:
            self.on_message(*message)
        while True:
            self.hear()

    def begin(self, job: Job, h: Handler) -> None:
        with self.lock:
            self.free -= 1
            more = self.free < 0
            self.free += more
        self.work.put((job, h))
        if more:
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            job, h = self.work.get()
            from_ns = time.thread_time_ns()
            result, error = call(job, h)
            with self.lock:  # before it is told: what comes next may use this thread
                self.free += 1
            self.end(job, result, error, (time.thread_time_ns() - from_ns) // 1000)


class LoopRunner(Runner):
    """Thousands of jobs, each a task of one asyncio loop."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(talk)
        self.tasks: set[asyncio.Task] = set()  # asyncio itself does not hold them

    def run(self, early: list[list]) -> None:
        asyncio.run(self.main(early))

    async def main(self, early: list[list]) -> None:
        for message in early:
            self.on_message(*message)
        loop = asyncio.get_running_loop()
        self.over = loop.create_future()
        loop.add_reader(self.talk.input, self.on_readable)
        await self.over

    def on_readable(self) -> None:
        try:
            self.hear()
        except SystemExit:
            os._exit(1)

    def begin(self, job: Job, h: Handler) -> None:
        task = asyncio.ensure_future(self.serve(job, h))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, job: Job, h: Handler) -> None:
        current.set(job)  # of this task alone
        result, error = None, None
        try:
            result = await job.run(h.function)
        except BaseException as e:  # the job's, whatever it is
            error = e
            if not isinstance(e, (Failed, asyncio.CancelledError)):
                job.log(traceback.format_exc().rstrip())
        self.end(job, result, error, None)


# ---- what a job of the process pool leaves behind ----------------------------------------------------------------


def cpu_us() -> int:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return int(sum(u.ru_utime + u.ru_stime for u in used) * 1e6)


def children_of_this() -> set[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return {int(pid) for f in Path("/proc/self/task").glob("*/children") for pid in f.read_text().split()}
    except OSError:  # as a rule: there are none
        return set()


def end_children(before: set[int]) -> None:
    for pid in children_of_this() - before:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except OSError:
            pass


# ---- beginning ---------------------------------------------------------------------------------------------------


def load(module: str) -> None:
    """A module by its name, or by the path of its file."""
    if not module.endswith(".py"):
        importlib.import_module(module)
        return
    path = Path(module)
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"tern.runner: {module} cannot be read")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)


def greet(talk: Talk) -> tuple[int | None, list[list]]:
    """HELLO and READY: which pool this is for (None: only to tell), and what has come behind HELLO."""
    messages: list[list] = []
    while not messages:
        messages += talk.read()
    (what, version, min_version, _software, _capabilities, pool, *_), *others = messages
    if what != HELLO or not min_version <= VERSION <= version:
        raise SystemExit(f"tern.runner: the worker speaks versions {min_version} to {version} of the runner protocol, "
                         f"this speaks {VERSION}")
    software = f"tern.runner 1, Python {sys.version.split()[0]}"
    talk.send(READY, VERSION, software, [], ROOM, [h.declaration() for h in registry.values()])
    return pool, others


def main(modules: list[str]) -> None:
    talk = Talk()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not modules:
        raise SystemExit("usage: python3 -m tern.runner MODULE... (started by tern-worker --runner)")
    for module in modules:
        load(module)
    pool, early = greet(talk)
    if pool in (THREAD, LOOP):
        sys.stdout, sys.stderr = JobStream(sys.stderr), JobStream(sys.stderr)
    else:
        sys.stdout.reconfigure(line_buffering=True)
    {THREAD: ThreadRunner, LOOP: LoopRunner}.get(pool, ProcessRunner)(talk).run(early)


if __name__ == "__main__":
    # This file runs as __main__, while handlers come from the package.
    from tern.runner import main as package_main

    package_main(sys.argv[1:])
