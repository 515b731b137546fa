"""daemons.py - a broker and a worker on a database of their own: real programs, started, and stopped by their process ids."""

import contextlib
import ctypes
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading

PR_SET_PDEATHSIG = 1
STOP_S = 30

libc = ctypes.CDLL(None)


def end_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failure(Exception):
    pass


class Daemons:
    def __init__(self, build, root):
        self.build = build
        self.directory = tempfile.mkdtemp(prefix="d.", dir=root)
        self.address = f"ipc://{self.directory}/s"
        self.database = os.path.join(self.directory, "tern.db")
        self.running = []  # (name, process), in the order they were started

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.stop_all()
        except Failure:
            if kind is None:
                raise
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name, words):
        with open(os.path.join(self.directory, name + ".log"), "wb") as log:
            process = subprocess.Popen([*words, "--config", "/dev/null", "--log-level", "warning"], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.directory, preexec_fn=end_with_parent)
        self.running.append((name, process))
        return process.pid

    def start_broker(self, *options):
        return self.start("broker", [os.path.join(self.build, "tern-broker"), "--listen", self.address, "--db", self.database,
                                     *options])

    def start_worker(self, program="tern-worker", *options):
        return self.start("worker", [os.path.join(self.build, program), "--broker", self.address, "--name", "bench", *options])

    def stop_all(self):
        bad = [self.stop(name, process) for name, process in reversed(self.running)]
        self.running = []
        bad = [text for text in bad if text]
        if bad:
            raise Failure("; ".join(bad))

    def stop_last(self):
        """What was started last."""
        bad = self.stop(*self.running.pop())
        if bad:
            raise Failure(bad)

    def stop(self, name, process):
        """What went wrong, or None."""
        was_up = process.poll() is None
        if was_up:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"the {name} did not stop within {STOP_S} s"
        if was_up and status == 0:
            return None
        with open(os.path.join(self.directory, name + ".log"), encoding="utf-8", errors="replace") as log:
            return f"the {name} ended with {status}: {log.read()[-500:].strip()}"

    # What it costs.

    def ask(self, question):
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute(question).fetchone()[0]

    def database_bytes(self):
        """All its pages, also those that are only in the log yet."""
        return self.ask("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")

    def free_pages(self):
        return self.ask("PRAGMA freelist_count")

    def disk_bytes(self, ending=""):
        """Of the file on the disk, or of what stands beside it."""
        try:
            return os.stat(self.database + ending).st_blocks * 512
        except FileNotFoundError:
            return 0


def memory_mib(pid, which="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            if line.startswith(which + ":"):
                return int(line.split()[1]) / 1024
    raise Failure(f"process {pid} does not tell its {which}")


def children(pid):
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as f:
                yield from f.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended meanwhile


def tree_kib(pid):
    """Its own share of memory and that of all below it: pages that several have count once."""
    n = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
            n = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        pass  # it has ended meanwhile
    return n + sum(tree_kib(child) for child in children(pid))


class TreeMemory:
    """The most that a process and all below it took together, looked at ten times a second."""

    def __init__(self, pid):
        self.pid, self.most_mib, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while True:
            self.most_mib = max(self.most_mib, tree_kib(self.pid) / 1024)
            if self.over.wait(0.1):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
