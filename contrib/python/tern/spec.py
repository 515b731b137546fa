"""What a job is, as it is submitted: by a client, or by another job."""

from __future__ import annotations

import datetime
from typing import Iterable

TAGS = ("auto", "cpu", "io", "slow-io")
SPEC_FIELDS = ("queue", "handler", "program", "tag", "priority", "delay_ms", "at_ms", "timeout_ms", "retries",
               "backoff_min_ms", "backoff_max_ms", "crash_limit", "expire_ms", "memory_bytes", "kill_grace_ms", "name",
               "payload")


def ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def spec(handler: str, payload: bytes | str = b"", *, queue: str | None = "default", tag: str | None = None,
         priority: int | None = None, delay: float | None = None, at: datetime.datetime | None = None,
         timeout: float | None = None, retries: int | None = None, backoff: tuple[float, float] | None = None,
         crash_limit: int | None = None, expire: float | None = None, memory: int | None = None,
         kill_grace: float | None = None, name: str | None = None) -> list:
    """One job as SUBMIT wants it. Durations are in seconds, memory is in bytes; what is not given the handler declares."""
    if tag is not None and tag not in TAGS:
        raise ValueError(f"there is no tag {tag!r}; it must be one of {', '.join(TAGS)}")
    least, most = backoff or (None, None)
    data = payload.encode() if isinstance(payload, str) else bytes(payload)
    return [queue, handler, None, None if tag is None else TAGS.index(tag), priority, ms(delay),
            None if at is None else int(at.timestamp() * 1000), ms(timeout), retries, ms(least), ms(most), crash_limit,
            ms(expire), memory, ms(kill_grace), name, data]


def ranges_of(jobs: int | Iterable[int]) -> list[list[int]]:
    """Ids as ranges: neighbours together."""
    if isinstance(jobs, range) and jobs.step == 1 and len(jobs):
        return [[jobs[0], jobs[-1]]]
    found: list[list[int]] = []
    for job in sorted({jobs} if isinstance(jobs, int) else set(jobs)):
        if found and found[-1][1] + 1 == job:
            found[-1][1] = job
        else:
            found.append([job, job])
    return found
