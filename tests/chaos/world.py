"""world.py - one generation of the run: a fresh database, a broker, three workers, clients, and what is done to them."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter

import daemons
import journal
import load
from checker import Checker
from disk import Disk
from hosts import BROKER, PORT

BEATS = ["--heartbeat", "100ms", "--lost-after", "500ms"]
SETTLE_S = 60           # once all faults are over, every job ends within this time
CLIENTS_MAX = 24
AFTERMATH_MS = 2000     # how long a fault may still show
STATUS_SURE = {0, 69, 75}


def now_ms():
    return int(time.time() * 1000)


class Programs:
    """The build's programs; `tern` itself rather than libtool's script around it."""

    def __init__(self, build):
        self.broker, self.worker = os.path.join(build, "tern-broker"), os.path.join(build, "tern-worker")
        self.job = os.path.join(build, "tests", "chaos", "job")
        libs = os.path.join(build, ".libs")
        inner = os.path.join(libs, "tern")
        self.tern = inner if os.path.exists(inner) else os.path.join(build, "tern")
        self.library_path = libs


class World:
    def __init__(self, directory, hosts, programs, number, over_tcp, rng):
        self.directory, self.hosts, self.programs, self.number, self.rng = directory, hosts, programs, number, rng
        self.over_tcp = over_tcp
        self.tern = programs.tern
        self.records = os.path.join(directory, "records")
        os.makedirs(self.records)
        self.record = os.path.join(self.records, "commands")
        with open(self.record, "wb"):
            pass
        self.address = f"tcp://127.0.0.1:{PORT}" if over_tcp else f"ipc://{directory}/broker.sock"
        self.disk = Disk(os.path.join(directory, "disk"), "48m")
        self.database = os.path.join(self.disk.path, "tern.db")
        self.broker = daemons.Daemon("broker", BROKER, self.broker_words(self.address), self.log("broker"), self)
        self.workers = [daemons.Worker(f"w{k}", f"host{k}", self.worker_words(k), self.log(f"w{k}"), self) for k in (2, 3, 4)]
        self.batches, self.cancels, self.seconds = [], [], []
        self.disturbances, self.findings = [], []
        self.faults = open(self.log("faults"), "w", encoding="utf-8", buffering=1)
        self.figures, self.refused = Counter(), {}
        self.names = number * 1000000
        self.calm_at_ms = 0
        self.queued = 0
        self.reader = None
        self.full_until = 0
        self.over = threading.Event()
        threading.Thread(target=self.watch_machine, daemon=True).start()

    def log(self, name):
        return os.path.join(self.directory, name + ".log")

    def broker_words(self, address):
        return [self.programs.broker, "--listen", address, "--insecure-loopback", "--db", self.database, "--ballast", "4M", *BEATS]

    def worker_words(self, k):
        return [self.programs.worker, "--broker", self.address, "--insecure-loopback", "--name", f"w{k}", "--drain", "2s",
                "--process", "2", "--thread", "3", "--loop", "8"]

    def client_env(self):
        return {**os.environ, "TERN_BROKER": self.address, "LD_LIBRARY_PATH": self.programs.library_path}

    def object(self, kind, text):
        self.findings.append((kind, text))

    def watch_machine(self):
        """A machine that stands still for a while disturbs everybody."""
        while not self.over.is_set():
            before = time.monotonic()
            time.sleep(0.05)
            late_ms = int((time.monotonic() - before - 0.05) * 1000)
            if late_ms > 150:
                self.figures["standstills"] += 1
                self.disturbances.append((None, now_ms() - late_ms - 1000, now_ms() + AFTERMATH_MS))

    def disturb(self, host):
        self.disturbances.append((host, now_ms() - 100, max(self.calm_at_ms, now_ms()) + AFTERMATH_MS))

    # ---- beginning and end -------------------------------------------------------------------------------------------

    def start(self):
        self.broker.start()
        if not daemons.wait_until(lambda: self.stats() is not None, 20, 0.1):
            raise RuntimeError("the broker does not answer: see " + self.broker.log)
        if self.broker.end_within(10) != 0:
            raise RuntimeError("the broker does not end: see " + self.broker.log)
        journal.install(self.database)
        self.broker.start()
        for w in self.workers:
            w.start()

    def kill_all(self):
        self.over.set()
        self.release_reader()
        self.faults.close()
        for d in [self.broker, *self.workers]:
            d.kill()
        for client in self.batches + self.cancels:
            client.kill()
        for p in self.seconds:
            p.kill()
            p.wait()
        self.disk.unmount()

    def stop_workers(self):
        for w in self.workers:
            status = w.end_within(10)
            if status != 0:
                self.object("died", f"{w.name} was told to end with nothing to do, and ended with {status}")

    # ---- the round ---------------------------------------------------------------------------------------------------

    def play(self, steps, seconds):
        """Each step at its time; the log tells the real one, to be laid beside those of the daemons."""
        begin = time.monotonic()
        self.calm_at_ms = now_ms() + int(max(seconds, steps[-1].at) * 1000)
        for step in steps:
            self.wait_until(begin + step.at)
            self.faults.write(f"{time.strftime('%FT%T', time.gmtime())}.{now_ms() % 1000:03d}Z {step}\n")
            getattr(self, "do_" + step.verb)(*step.args)
        self.wait_until(begin + seconds)
        self.stats()

    def wait_until(self, until):
        while True:
            self.tick()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.02))

    def tick(self):
        for batch in self.batches:
            batch.feed()
        self.mind_broker()
        for w in self.workers:
            self.mind_worker(w)
        for p in [p for p in self.seconds if p.poll() is not None]:
            self.seconds.remove(p)
            said = p.stderr.read()
            p.stderr.close()
            if p.returncode == 0 or "error: " not in said:
                self.object("died", f"a second broker on the same database ended with {p.returncode}, saying: {said}")

    def mind_broker(self):
        status = self.broker.take_end()
        if status is None:
            return
        if status == 1 and time.monotonic() < self.full_until:
            self.figures["starts refused: disk full"] += 1
        else:
            self.object("died", f"the broker ended by itself with {status}: see {self.broker.log}")
        time.sleep(0.1)
        self.broker.start()

    def mind_worker(self, w):
        fine = {0, -signal.SIGTERM} if w.young else {0} if w.ending else set()
        status = w.take_end()
        if status is None:
            return
        if status not in fine:
            self.object("died", f"{w.name} ended by itself with {status}: see {w.log}")
        w.start()

    # ---- what clients do ---------------------------------------------------------------------------------------------

    def clients_at_work(self):
        return sum(c.status() is None for c in self.batches + self.cancels)

    def new_batch(self, host, n, seconds):
        jobs = load.make_jobs(self.rng, n, self.names, self.record, self.programs.job)
        self.names += n
        self.batches.append(load.Batch(self, f"host{host}", len(self.batches), jobs, seconds))
        return self.batches[-1]

    def do_submit(self, host, n, seconds):
        if self.clients_at_work() < CLIENTS_MAX and self.queued < 2000:
            self.new_batch(host, n, seconds)

    def do_cancel(self, which):
        recent = [job for batch in self.batches[-6:] for job in batch.ids()]
        if recent and self.clients_at_work() < CLIENTS_MAX:
            job = recent[int(which * len(recent))]
            self.cancels.append(load.Cancel(self, f"host{1 + job % 4}", len(self.cancels), job))

    def do_kill_client(self, host, after):
        batch = self.new_batch(host, 150, 0.1)
        daemons.wait_until(lambda: batch.feed(), after, 0.005)
        batch.kill()

    # ---- what is done to the broker ----------------------------------------------------------------------------------

    def do_kill_broker(self):
        daemons.wait_until(lambda: all(p.poll() is not None for p in self.seconds), 15)
        self.broker.kill()

    def do_start_broker(self):
        if self.broker.process is None:
            self.broker.start()

    def do_stop_broker(self):
        self.broker.stop()

    def do_resume_broker(self):
        self.broker.resume()

    def do_second_broker(self):
        if self.broker.is_up() and self.broker.has_said(b"listens on"): # before, it may be that the second is the first
            words = self.hosts.on(BROKER) + self.broker_words("tcp://127.0.0.1:7712")
            self.seconds.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                                 stderr=subprocess.PIPE, text=True, start_new_session=True))

    def do_hold_reader(self):
        if self.reader is None:
            self.reader = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, isolation_level=None)
            self.reader.execute("BEGIN")
            self.reader.execute("SELECT count(*) FROM meta").fetchone()

    def release_reader(self):
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def do_fill_disk(self):
        self.full_until = time.monotonic() + 5
        self.disk.fill()

    def do_empty_disk(self):
        self.disk.empty()
        self.release_reader()
        self.full_until = time.monotonic() + 1

    # ---- what is done to workers -------------------------------------------------------------------------------------

    def do_kill_worker(self, n):
        self.disturb(self.workers[n].host)
        self.workers[n].kill()

    def do_start_worker(self, n):
        if self.workers[n].process is None:
            self.workers[n].start()

    def do_stop_worker(self, n):
        self.disturb(self.workers[n].host)
        self.workers[n].stop()

    def do_resume_worker(self, n):
        self.workers[n].resume()

    def do_terminate_worker(self, n):
        self.disturb(self.workers[n].host)
        self.workers[n].terminate()

    def do_kill_in_tree(self, n, generation, which):
        w = self.workers[n]
        found = w.tree()[generation] if w.is_up() and not w.is_young() else []
        if not found:
            return
        self.disturb(w.host)
        try:
            os.kill(found[which % len(found)], signal.SIGKILL)
        except ProcessLookupError:
            pass

    def do_cut_link(self, n, how):
        self.disturb(self.workers[n].host)
        self.hosts.cut(self.workers[n].host, how)

    def do_heal_link(self, n):
        self.hosts.heal(self.workers[n].host)

    def do_limit_descriptors(self, who, n, more):
        d = self.broker if who == "broker" else self.workers[n]
        pid = d.is_up() and not d.is_young() and (d.zygote() if who == "zygote" else d.pid())
        if pid and d.limit is None and d.limit_descriptors(pid, more):
            self.disturb(None if who == "broker" else d.host)

    def do_restore_descriptors(self, who, n):
        (self.broker if who == "broker" else self.workers[n]).restore_descriptors()

    # ---- calm --------------------------------------------------------------------------------------------------------

    def stats(self):
        asked = subprocess.run(self.hosts.inside(BROKER) + ["timeout", "2", self.tern, "stats", "--json"], env=self.client_env(),
                               capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            return None
        figures = json.loads(asked.stdout)
        self.refused[figures["epoch"]] = figures["refused_results"]
        self.queued = figures["queued"]
        return figures

    def end_faults(self):
        self.hosts.heal()
        self.do_empty_disk()
        for d in [self.broker, *self.workers]:
            d.resume()
            d.restore_descriptors()
            if d.process is None:
                d.start()

    def is_settled(self):
        self.tick()
        figures = self.stats()
        return figures is not None and self.clients_at_work() == 0 and \
            not any(figures[state] for state in ("blocked", "scheduled", "queued", "running"))

    def settle(self):
        """No more faults: everything has to end. Then the broker is stopped, and all is compared."""
        self.end_faults()
        began = time.monotonic()
        if not daemons.wait_until(self.is_settled, SETTLE_S, 0.2):
            self.object("stuck", f"not all has ended {SETTLE_S} s after the last fault: see stuck.txt")
            self.tell_stuck()
        self.figures["longest calm, ms"] = max(self.figures["longest calm, ms"], int((time.monotonic() - began) * 1000))
        self.check_clients()
        self.tick()
        status = self.broker.end_within(10)
        if status != 0:
            self.object("died", f"the broker was told to end, and ended with {status}")

    def tell_stuck(self):
        for w in self.workers:
            w.signal(signal.SIGUSR1)
        with open(os.path.join(self.directory, "stuck.txt"), "wb") as out:
            for words in (["stats"], ["workers", "--json"], ["list", "--state", "queued", "--limit", "20"],
                          ["list", "--state", "running", "--limit", "20"]):
                out.write(b"---- " + " ".join(words).encode() + b"\n")
                out.flush()
                subprocess.run(self.hosts.inside(BROKER) + ["timeout", "5", self.tern] + words, env=self.client_env(),
                               stdout=out, stderr=out, check=False)
            subprocess.run(["ps", "-ef", "--forest"], stdout=out, check=False)

    def check_clients(self):
        for client in self.batches + self.cancels:
            status = client.status()
            sure = STATUS_SURE | ({1, 3, 4} if isinstance(client, load.Cancel) else set())
            if status is None:
                client.kill()
            elif status not in sure and not client.killed:
                self.object("client failed", f"a client ended with {status}: {client.errors()[-300:]} ({client.out})")

    def given_up(self):
        """Attempts that workers had to drop when they came back, since they were no longer theirs."""
        return sum(int(n) for w in self.workers for n in re.findall(rb" gone=(\d+)", daemons.read(w.log)))

    def check(self):
        """The checker's figures; its findings go to those of the world."""
        copy = os.path.join(self.directory, "checked.db")
        for end in ("", "-wal"):
            if os.path.exists(self.database + end):
                shutil.copy(self.database + end, copy + end)
        checker = Checker(copy, self.record, self.batches, self.cancels, self.disturbances)
        self.findings += checker.check()
        figures = checker.figures + self.figures
        figures["results refused"] = sum(self.refused.values())
        figures["attempts given up"] = self.given_up()
        figures["cancels"] = len(self.cancels)
        return figures
