"""What a job may ask of the broker while it runs: jobs of its own, what became of them, and to keep something for its next attempt.

In a function each of these waits and returns; in an ``async def`` it returns what is to be awaited.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from dataclasses import dataclass
from typing import Any, Generator, Iterable, Iterator

from .spec import ranges_of, spec

CHECKPOINT, SPAWN, AWAIT, FETCH = 21, 22, 23, 24
CHECKPOINT_BYTES = 64 << 10
SPAWN_CHILDREN, SPAWN_BYTES = 1000, 2 << 20  # in one ask; the last may reach beyond
STATES = {4: "done", 5: "dead", 6: "cancelled", 7: "expired"}
REASONS = (None, "exit", "signal", "time-limit", "memory-limit", "handler-error", "cancelled", "expired", "worker-lost")
BUSY = 75


class Failed(Exception):
    """The job has failed for now: a retry may help."""

    for_good = False


class FailedForGood(Failed):
    """The job has failed, and a retry would not help."""

    for_good = True


class AskFailed(Failed):
    """What was asked of the broker was refused. busy: the same may be asked again later."""

    busy = False


class ChildFailed(Failed):
    """A child that had to be done is not. child: how it ended."""

    def __init__(self, child: ChildEnd, words: str = "") -> None:
        super().__init__(f"child {child.id} is {child.state}{words or (child.reason and f' ({child.reason})') or ''}")
        self.child = child


class Stopped(Failed):
    """The job should stop, so it waits for nothing any more."""


@dataclass(frozen=True)
class Child:
    """A job that a job submits; see `child`."""

    spec: list
    key: str | None
    detached: bool


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended. state: ``done``, ``dead``, ``cancelled``, ``expired``, or ``gone``: it was removed, or is no child of this
    job. reason: as in ``tern show --json``."""

    id: int
    state: str
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None


def child(handler: str, payload: bytes | str = b"", *, key: str | None = None, detached: bool = False, queue: str | None = None,
          **options: Any) -> Child:
    """A child for `Job.spawn_many`. key: what its parent knows it by; unless given, that it is the n-th without one. detached: it is
    not cancelled with its parent. queue: its parent's unless given. All else as for ``tern.Client().submit``."""
    if any("\0" in s for s in (handler, key, queue, options.get("name")) if s):
        raise ValueError("the texts of a child have no NUL")
    return Child(spec(handler, payload, queue=queue, **options), key, detached)


def end_of(fields: list) -> ChildEnd:
    number, state, reason, exit_code, signal = (list(fields) + [None] * 5)[:5]
    ended = state in STATES
    return ChildEnd(number, STATES.get(state, "gone"), REASONS[reason] if ended and reason and reason < len(REASONS) else None,
                    exit_code if ended else None, signal if ended else None)


def shares_of(children: list[Child]) -> Iterator[list[Child]]:
    """As many at a time as one ask takes."""
    share: list[Child] = []
    n = 0
    for c in children:
        if share and (len(share) == SPAWN_CHILDREN or n > SPAWN_BYTES or c.detached != share[0].detached):
            yield share
            share, n = [], 0
        share.append(c)
        n += len(c.spec[-1])
    if share:
        yield share


@dataclass
class Answer:
    code: int
    text: str | None
    children: list
    ended: list
    state: int
    data: bytes | None

    @classmethod
    def of(cls, code: int | None = 0, text: str | None = None, children: list | None = None, ended: list | None = None,
           state: int | None = 0, data: bytes | None = None, *_later: Any) -> Answer:
        return cls(code or 0, text, children or [], ended or [], state or 0, data)


Ask = Generator[tuple, Answer, Any]  # yields a message's number and its fields, and is sent the answer


class Asks:
    """The part of a job that asks."""

    id: int
    attempt: int
    checkpoint: bytes | None = None  # what an attempt before this one has kept; None: nothing

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._stop = threading.Event()
        self._asking = threading.Lock()  # of what follows
        self._asked: dict[int, Any] = {}
        self._n_asked = self._n_spawned = 0
        self._awaited: dict[str, asyncio.Future] = {}  # of AsyncAsks: AWAITs without an answer

    # ---- what there is to ask

    def keep(self, data: bytes | str) -> Any:
        """Keeps up to 64 KiB for the job's next attempt, in place of what was kept before; there it is ``job.checkpoint``. Once this
        has returned it is on the broker's disk."""
        return self._do(self._keep(data.encode() if isinstance(data, str) else bytes(data)))

    def spawn(self, handler: str, payload: bytes | str = b"", **options: Any) -> Any:
        """Submits a child (see `child` for the options), a job of its own. Its id. An attempt that spawns what one before it has
        spawned finds the same child, be it done or not: so spawn in the same order in every attempt, or give keys."""
        return self._do(self._spawn([child(handler, payload, **options)]), lambda ids: ids[0])

    def spawn_many(self, children: Iterable[Child]) -> Any:
        """The same of many. Their ids, in order."""
        return self._do(self._spawn(list(children)))

    def wait_children(self, ids: Iterable[int], check: bool = True) -> Any:
        """Waits until all have ended; while it waits others use the job's place. How each ended, in order. Unless told not to check:
        ChildFailed where one is not done."""
        return self._do(self._wait(list(ids), check))

    def wait_any(self, ids: Iterable[int]) -> Any:
        """Waits until one of them has ended: which, and how."""
        return self._do(self._wait_any(list(ids)))

    def child_result(self, number: int) -> Any:
        """The result of a child that is done, as bytes; ChildFailed where it is not."""
        return self._do(self._fetch(number))

    # ---- in the words of the protocol

    def _keep(self, data: bytes) -> Ask:
        if len(data) > CHECKPOINT_BYTES:
            raise ValueError(f"a checkpoint of {len(data)} bytes; there may be {CHECKPOINT_BYTES}")
        yield CHECKPOINT, data

    def _key(self, given: str | None) -> str:
        if given is not None:
            return given
        self._n_spawned += 1
        return f"#{self._n_spawned}"

    def _spawn(self, children: list[Child]) -> Ask:
        ids: list[int] = []
        for share in shares_of(children):
            answer = yield SPAWN, [c.spec for c in share], [self._key(c.key) for c in share], int(share[0].detached)
            ids += [fields[0] for fields in answer.children]
        return ids

    def _wait(self, ids: list[int], check: bool) -> Ask:
        if not ids:
            return []
        answer = yield AWAIT, ranges_of(ids), len(set(ids))
        ends = {fields[0]: end_of(fields) for fields in answer.ended}
        ended = [ends.get(number, ChildEnd(number, "gone")) for number in ids]
        for e in ended if check else []:
            if e.state != "done":
                raise ChildFailed(e)
        return ended

    def _wait_any(self, ids: list[int]) -> Ask:
        answer = yield AWAIT, ranges_of(ids), 1
        return end_of(answer.ended[0])

    def _fetch(self, number: int) -> Ask:
        answer = yield FETCH, number
        if STATES.get(answer.state) != "done":
            raise ChildFailed(ChildEnd(number, STATES.get(answer.state, "not done")), f": {answer.text}" if answer.text else "")
        return answer.data or b""

    # ---- there and back

    def _do(self, asks: Ask, pick: Any = lambda result: result) -> Any:
        answer = None
        while True:
            try:
                what, *fields = asks.send(answer)
            except StopIteration as e:
                return pick(e.value)
            future: concurrent.futures.Future = concurrent.futures.Future()
            self._ask(future, what, fields)
            answer = self._wire.wait(future)

    def _ask(self, future: Any, what: int, fields: list) -> None:
        with self._asking:
            if self._stop.is_set():
                raise Stopped("stopped")
            self._n_asked += 1
            req = self._n_asked
            self._asked[req] = future
        self._wire.send(what, self.id, self.attempt, req, *fields)

    # ---- of the runner

    def on_answer(self, req: int, *fields: Any) -> None:
        with self._asking:
            future = self._asked.pop(req, None)
        answer = Answer.of(*fields)
        if future is None:
            return
        if answer.code:
            error = AskFailed(answer.text or "refused")
            error.busy = answer.code == BUSY
            self._settle(future, error)
        else:
            self._settle(future, answer)

    def tell_stop(self) -> None:
        with self._asking:
            self._stop.set()
            futures, self._asked = list(self._asked.values()), {}
        for future in futures:
            self._settle(future, Stopped("stopped"))

    def _settle(self, future: Any, outcome: Answer | Stopped | AskFailed) -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class AsyncAsks(Asks):
    """The same on an asyncio loop, which may be another thread's than the one that hears the worker."""

    async def _do(self, asks: Ask, pick: Any = lambda result: result) -> Any:
        answer = None
        while True:
            try:
                what, *fields = asks.send(answer)
            except StopIteration as e:
                return pick(e.value)
            answer = await (self._ends(fields) if what == AWAIT else self._asking_for(what, fields))

    def _asking_for(self, what: int, fields: list) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self._ask(future, what, fields)
        return future

    def _ends(self, fields: list) -> asyncio.Future:
        """Who waits with a timeout, and then again for the same, does not ask again: the broker tells only once."""
        key = repr(fields)
        future = self._awaited.get(key)
        if future is None:
            future = self._awaited[key] = self._asking_for(AWAIT, fields)
            future.add_done_callback(lambda f: self._awaited.pop(key) is f and f.exception())
        return asyncio.shield(future)

    def _settle(self, future: Any, outcome: Answer | Stopped | AskFailed) -> None:
        self._in_loop(future.get_loop(), super()._settle, future, outcome)

    @staticmethod
    def _in_loop(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
        try:
            loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # it has ended, and with it who waited
