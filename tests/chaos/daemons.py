"""daemons.py - the broker and the workers: real processes that are started, killed, stopped and limited."""

import os
import resource
import signal
import subprocess
import time


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def parent_of(pid):
    stat = read(f"/proc/{pid}/stat")
    return int(stat[stat.rindex(b")") + 1:].split()[1]) if stat else 0


def state_of(pid):
    stat = read(f"/proc/{pid}/stat")
    return stat[stat.rindex(b")") + 2:][:1].decode() if stat else ""


YOUNG_S = 1.0


class Daemon:
    """One program that is meant to run all the time. `held`: who ends it knows of it, otherwise its end is a finding."""

    def __init__(self, name, host, words, log, world):
        self.name, self.host, self.words, self.log, self.world = name, host, words, log, world
        self.process = None
        self.ending = False
        self.young = False      # it was told to end before it can have been ready for that
        self.started = 0.0
        self.said = 0           # bytes of its log before this start
        self.limit = None

    def start(self):
        assert self.process is None
        self.ending = self.young = False
        self.started = time.monotonic()
        self.limit = None
        with open(self.log, "ab") as log:
            self.said = log.tell()
            self.process = subprocess.Popen(self.world.hosts.on(self.host) + self.words, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.world.directory, start_new_session=True)

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def has_said(self, what):
        """In its log, since it was started."""
        return what in read(self.log)[self.said:]

    def is_young(self):
        """It may not be the program yet, but what starts it."""
        return time.monotonic() - self.started < YOUNG_S

    def pid(self):
        return self.process.pid

    def signal(self, number):
        if self.is_up():
            os.kill(self.pid(), number)

    def kill(self):
        """Dead at once, whatever it did; False when it was not there to be killed."""
        if not self.is_up():
            return False
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None
        return True

    def stop(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def terminate(self):
        """Told to end; take_end tells when it has."""
        if not self.is_up() or self.ending:
            return False
        self.ending = True
        self.young = self.is_young()
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        return True

    def take_end(self):
        """The status that it ended with by itself, once; None while it runs, or does not."""
        if self.process is None or self.process.poll() is None:
            return None
        status = self.process.returncode
        self.process = None
        return status

    def end_within(self, seconds):
        """The status that it ends with after TERM; None when it does not, and is killed."""
        self.terminate()
        try:
            status = self.process.wait(seconds) if self.process else 0
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.process = None
        return status

    # Descriptors: all that it has now and a few, until they are given back.

    def limit_descriptors(self, pid, more):
        try:
            now = max((int(fd) for fd in os.listdir(f"/proc/{pid}/fd")), default=3)
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, now + more), hard))
            self.limit = (pid, soft, hard)
        except (OSError, ValueError):
            return False
        return True

    def restore_descriptors(self):
        if self.limit is None:
            return
        pid, soft, hard = self.limit
        self.limit = None
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        except OSError:
            pass


class Worker(Daemon):
    def tree(self):
        """{generation: pids} below the worker: 1 its zygote, 2 children and launchers, 3 commands."""
        parents = {pid: parent_of(pid) for pid in pids()}
        level, found = {self.pid()}, {}
        for generation in (1, 2, 3):
            level = {pid for pid, parent in parents.items() if parent in level}
            found[generation] = sorted(level)
        return found

    def zygote(self):
        return (self.tree()[1] or [None])[0] if self.is_up() else None


def wait_until(what, seconds, every=0.02):
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(every)
    return True
