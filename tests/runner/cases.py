"""The cases of tests/flow/runner.bats in Python; tests/runner/cases.c has the same. Each is there as a function and, with `.async`
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
    time.sleep(float(job.payload))


@tern.handler(name="py.nap.async")
async def nap_async(job):
    await asyncio.sleep(float(job.payload))
