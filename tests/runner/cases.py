"""The cases of tests/flow/runner.bats and runner_asks.bats in Python; tests/runner/cases.c has the same. Each is there as a function and, with `.async`
behind its name, as a coroutine."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import tern


def echo(job):
    print("first line")
    job.log("second line")
    return job.payload


def fail(job):
    raise tern.Failed("not now")


def never(job):
    raise tern.FailedForGood("never")


def unmeant(job):
    return {}["missing"]


def crash(job):
    job.log("before the crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)


def huge(job):
    return b"x" * ((1 << 20) + 1)


for f in (echo, fail, never, unmeant, crash, huge):
    tern.handler(name=f"py.{f.__name__}", thread_safe=True)(f)

    async def coroutine(job, f=f):
        await asyncio.sleep(0)
        return f(job)

    tern.handler(name=f"py.{f.__name__}.async")(coroutine)


@tern.handler(name="py.wait", thread_safe=True)
def wait(job):
    while not job.should_stop():
        time.sleep(0.005)
    raise tern.Failed("stopped")


@tern.handler(name="py.wait.async")
async def wait_async(job):
    await asyncio.sleep(60)


@tern.handler(name="py.deaf", thread_safe=True)
def deaf(job):
    time.sleep(float(job.payload or b"1000"))


@tern.handler(name="py.memory")
def memory(job):
    kept = []
    while True:
        kept.append(b"x" * (1 << 20))
        time.sleep(0.001)


# ---- what is asked of the broker ----


@tern.handler(name="py.resume", thread_safe=True)
def resume(job):
    if job.checkpoint:
        return job.checkpoint
    job.keep("half of it")
    raise tern.Failed("at half")


@tern.handler(name="py.resume.async")
async def resume_async(job):
    if job.checkpoint:
        return job.checkpoint
    await job.keep("half of it")
    raise tern.Failed("at half")


@tern.handler(name="py.progress", thread_safe=True)
def progress(job):
    for i in range(43):
        job.progress(i, "at the answer" if i == 42 else None)
    wait(job)


@tern.handler(name="py.progress.async")
async def progress_async(job):
    job.progress(42, "at the answer")
    await asyncio.sleep(60)


def children_of(job):
    """The payload: their handler and tag."""
    name, tag = job.payload.decode().split()
    return [tern.child(name, str(i), tag=tag, key="the-second" if i == 2 else None) for i in (1, 2, 3)]


@tern.handler(name="py.family", thread_safe=True)
def family(job):
    ids = job.spawn_many(children_of(job))
    if job.attempt == 1:
        raise tern.Failed("again")
    assert job.wait_any(ids).state == "done"
    assert [c.id for c in job.wait_children(ids)] == ids
    return b"".join(job.child_result(i) for i in ids)


@tern.handler(name="py.family.async")
async def family_async(job):
    ids = await job.spawn_many(children_of(job))
    if job.attempt == 1:
        raise tern.Failed("again")
    assert (await job.wait_any(ids)).state == "done"
    assert [c.id for c in await job.wait_children(ids)] == ids
    return b"".join(await asyncio.gather(*(job.child_result(i) for i in ids)))


@tern.handler(name="py.parent", thread_safe=True)
def parent(job):
    job.wait_children([job.spawn(job.payload.decode())])


@tern.handler(name="py.parent.async")
async def parent_async(job):
    await job.wait_children([await job.spawn(job.payload.decode())])


@tern.handler(name="py.doze.async")
async def doze_async(job):
    await asyncio.sleep(float(job.payload))


@tern.handler(name="py.impatient.async")
async def impatient_async(job):
    """Looks up from waiting more often than a run may ask at a time."""
    ids = [await job.spawn("py.doze.async", "1", tag="slow-io")]
    n_early = 0
    for _ in range(100):
        try:
            await asyncio.wait_for(job.wait_children(ids), 0.002)
        except asyncio.TimeoutError:
            n_early += 1
    await job.wait_children(ids)
    return str(n_early)


class Mute(Exception):
    def __str__(self):
        return self.words


@tern.handler(name="py.mute", thread_safe=True)
def mute(job):
    raise Mute


@tern.handler(name="py.mute.async")
async def mute_async(job):
    raise Mute


@tern.handler(name="py.long.async")
async def long_async(job):
    """The payload: what is longer than a message may be."""
    what = job.payload.decode()
    if what == "line":
        print("y" * 5_000_000)
        job.log("y" * 5_000_000)
        job.progress(1, "y" * 5_000_000)
    elif what == "child":
        await job.spawn("py.echo", b"y" * 5_000_000)
    else:
        raise KeyError("y" * 5_000_000)


@tern.handler(name="py.refused", tag="cpu")
def refused(job):
    """Each is refused, and says why."""
    said = []
    for ask in (lambda: job.spawn("no such name"), lambda: job.wait_children(range(1, 20000)), lambda: job.child_result(job.id),
                lambda: job.keep(b"x" * 65537), lambda: job.wait_children([job.id])):
        try:
            ask()
        except (tern.Failed, ValueError) as e:
            said.append(f"{type(e).__name__}: {e}")
    return "\n".join(said)


# ---- what only a program of its own can do ----


@tern.handler(name="py.exit", tag="cpu")
def leave(job):
    """An exit that Python can catch."""
    sys.exit(3)


@tern.handler(name="py.wild", tag="cpu")
def wild(job):
    """Writes on every descriptor that it finds."""
    for fd in range(3, 20):
        try:
            os.write(fd, b"what is this?")
        except OSError:
            pass
    time.sleep(10)


@tern.handler(name="py.stray", tag="cpu")
def stray(job):
    """Leaves processes behind."""
    subprocess.Popen(["sleep", job.payload.decode()])
    subprocess.Popen(["setsid", "sh", "-c", f"sleep {job.payload.decode()} & exit"]).wait()


@tern.handler(name="py.fork", tag="cpu")
def fork(job):
    """A child that comes back from the handler must not answer for it."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


@tern.handler(name="py.pid", thread_safe=True)
def pid(job):
    return str(os.getpid())


@tern.handler(name="py.nap", tag="io")
def nap(job):
    """Long the first time, so that it is there when something ends its runner."""
    time.sleep(60 if job.attempt == 1 else 0)


@tern.handler(name="py.nap.async")
async def nap_async(job):
    await asyncio.sleep(60 if job.attempt == 1 else 0)
