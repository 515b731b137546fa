"""measures.py - B1 to B7, each with the limits that belong to it, measured in turns with them."""

import json
import os
import subprocess
import sys
import tempfile
import time

from daemons import Daemons, Failure, memory_mib
from figures import Figures

FULL = {
    "repeats": 3, "repeats of one at a time": 5,
    "commits": 5000, "syncs": 2000, "round trips": 20000, "rows": 300000, "spawns": 3000,
    "B1": 5000, "B2": 300000, "B3": 100000, "B4": 100000, "B5": 300, "B6": 3000, "B7": 1000000, "warm": 2000,
}
QUICK = {
    "repeats": 1, "repeats of one at a time": 1,
    "commits": 1000, "syncs": 1000, "round trips": 1000, "rows": 10000, "spawns": 1000,
    "B1": 300, "B2": 20000, "B3": 5000, "B4": 5000, "B5": 30, "B6": 100, "B7": 20000, "warm": 100,
}
WARM_ONE_AT_A_TIME = 50  # jobs
BUDGET_S = 570           # of all; what does not fit fails
SETTLE_S = 2             # until a broker that has nothing to do has tidied up
GIVE_BACK_S = 60

# What does nothing in each pool. echo has no async form, so on the loop it is a sleep of no time.
NOTHING = {
    "thread": ["--tag", "io", "--handler", "echo"],
    "loop": ["--tag", "slow-io", "--handler", "sleep", "--payload", "0s"],
    "process": ["--tag", "cpu", "--handler", "echo"],
}
TAGS = {"thread": "io", "loop": "slow-io", "process": "cpu"}


class Bench:
    def __init__(self, build, root, sizes):
        self.build, self.root, self.sizes = build, root, sizes
        self.figures = Figures()
        self.until = time.monotonic() + BUDGET_S

    def call(self, words):
        left = self.until - time.monotonic()
        if left <= 0:
            raise Failure(f"no time left: all of it has {BUDGET_S} s")
        try:
            p = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done within the {BUDGET_S} s that all of it has: {' '.join(words[1:])}") from None
        if p.returncode != 0:
            raise Failure(p.stderr.strip() or f"{words[0]} ended with {p.returncode}")
        return json.loads(p.stdout)

    def client(self, daemons, what, *options):
        words = [os.path.join(self.build, "tests", "bench", "client"), daemons.address, what]
        return self.call(words + [str(o) for o in options])

    def ready(self, daemons, workers):
        self.client(daemons, "ready", "--workers", workers)

    def add(self, name, value, unit="/s", better="higher", limits=()):
        self.figures.add(name, value, unit, better, limits)
        print(f"{name}: {value:,.1f} {unit}", file=sys.stderr)

    def limit(self, name, n):
        """The bare work: one measurement, under the names `limit NAME` and, of one at a time, `limit NAME p50`."""
        with tempfile.TemporaryDirectory(prefix="l.", dir=self.root) as directory:
            r = self.call([os.path.join(self.build, "tests", "bench", "limits"), name, str(self.sizes[n]), directory])
        self.add(f"limit {name}", r["rate"])
        for part in ("p50", "p99"):
            if part + "_us" in r:
                self.add(f"limit {name} {part}", r[part + "_us"], "us", "lower")

    def repeat(self, of="repeats"):
        return range(self.sizes[of])


def limits_of_one(bench):
    bench.limit("sync", "syncs")
    bench.limit("commit", "commits")
    bench.limit("roundtrip", "round trips")


ONE = "limit commit+limit roundtrip"
ONE_P50 = "limit commit p50+limit roundtrip p50"
ONE_P99 = "limit commit p99+limit roundtrip p99"


def b1_submit(bench):
    for _ in bench.repeat("repeats of one at a time"):
        limits_of_one(bench)
        with Daemons(bench.build, bench.root) as d:
            d.start_broker()
            bench.ready(d, 0)
            r = bench.client(d, "submit", "--jobs", bench.sizes["B1"], "--warm", WARM_ONE_AT_A_TIME)
        bench.add("B1 submit", r["rate"], limits=[ONE])
        bench.add("B1 submit p50", r["p50_us"], "us", "lower", [ONE_P50])
        bench.add("B1 submit p99", r["p99_us"], "us", "lower", [ONE_P99])


def b2_bulk(bench):
    for _ in bench.repeat():
        bench.limit("insert", "rows")
        bench.limit("store-insert", "rows")
        with Daemons(bench.build, bench.root) as d:
            d.start_broker()
            bench.ready(d, 0)
            r = bench.client(d, "fill", "--jobs", bench.sizes["B2"], "--warm", bench.sizes["warm"])
        bench.add("B2 bulk submit", r["rate"], limits=["limit insert", "limit store-insert"])


def in_pools(bench, name, what, jobs, warm, options, limits, program="tern-worker"):
    """One repeat, a fresh broker and worker for each pool."""
    for pool, words in options.items():
        with Daemons(bench.build, bench.root) as d:
            d.start_broker()
            d.start_worker(program)
            bench.ready(d, 1)
            r = bench.client(d, what, "--jobs", jobs, "--warm", warm, *words)
        if "rate" in r:
            bench.add(f"{name}, {pool}", r["rate"], limits=limits)
        else:
            yield pool, r


def rates_in_pools(*args):
    for _ in in_pools(*args):
        raise Failure("a rate was to be measured")


def b3_drain(bench):
    for _ in bench.repeat():
        bench.limit("finish", "rows")
        bench.limit("store-finish", "rows")
        rates_in_pools(bench, "B3 drain", "drain", bench.sizes["B3"], bench.sizes["warm"], NOTHING,
                       ["limit finish", "limit store-finish"])


def b4_run(bench):
    for _ in bench.repeat():
        bench.limit("life", "rows")
        bench.limit("store-life", "rows")
        rates_in_pools(bench, "B4 submit and run", "run", bench.sizes["B4"], bench.sizes["warm"], NOTHING,
                       ["limit life", "limit store-life"])
        b4_watched(bench)


def look_on(bench, daemons):
    words = [os.path.join(bench.build, "tests", "bench", "client"), daemons.address, "look"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def b4_watched(bench):
    """Twice as many, while somebody lists and counts; finished jobs are deleted beyond an eighth of them, which the broker does
    once a second: the second figure says how many that were by the end."""
    n, warm = 2 * bench.sizes["B4"], bench.sizes["warm"]
    with Daemons(bench.build, bench.root) as d:
        d.start_broker("--keep-finished", str(n // 8))
        d.start_worker()
        bench.ready(d, 1)
        with look_on(bench, d) as looker:
            try:
                r = bench.client(d, "run", "--jobs", n, "--warm", warm, *NOTHING["thread"])
                out, error = looker.communicate(timeout=30)
            finally:
                looker.kill()
        if looker.returncode != 0 or not json.loads(out)["looks"]:
            raise Failure(f"nobody looked on: {error.strip()}")
    bench.add("B4 with retention, list and stats, thread", r["rate"], limits=["B4 submit and run, thread", "limit life"])
    bench.add("B4 of these deleted meanwhile", (n + warm - r["kept"]) * 100 / n, "%", "higher")


def b5_idle(bench):
    clock = {pool: ["--tag", tag, "--handler", "clock"] for pool, tag in TAGS.items()}
    for _ in bench.repeat("repeats of one at a time"):
        limits_of_one(bench)
        for pool, r in in_pools(bench, "B5", "idle", bench.sizes["B5"], WARM_ONE_AT_A_TIME, clock, [], "tests/bench/worker"):
            for moment in ("ack", "start", "ended", "result"):
                bench.add(f"B5 idle, {pool}: {moment} p50", r[moment + "_p50_us"], "us", "lower", [ONE_P50])


def b6_true(bench):
    commands = {pool: ["--tag", tag, "--command", "/bin/true"] for pool, tag in TAGS.items()}
    for _ in bench.repeat():
        bench.limit("spawn", "spawns")
        rates_in_pools(bench, "B6 /bin/true", "run", bench.sizes["B6"], WARM_ONE_AT_A_TIME, commands, ["limit spawn"])


def drain_on_none(bench):
    if "B3 drain, thread" not in bench.figures.of:
        b3_drain(bench)


def given_back(bench, daemons):
    """Percent of what the database took at most that it still takes."""
    most, until = daemons.disk_bytes(), time.monotonic() + GIVE_BACK_S
    least, since = most, time.monotonic()
    while time.monotonic() < until and time.monotonic() < since + 2 * SETTLE_S:
        time.sleep(0.2)
        if daemons.disk_bytes() < least:
            least, since = daemons.disk_bytes(), time.monotonic()
    bench.add("B7 space still taken once they are gone", least * 100 / most, "%", "lower")


def b7_waiting(bench):
    drain_on_none(bench)
    n = bench.sizes["B7"]
    with Daemons(bench.build, bench.root) as d:
        broker = d.start_broker()
        bench.ready(d, 0)
        time.sleep(SETTLE_S)
        empty = d.database_bytes()
        bench.add("B7 broker's memory, none waiting", memory_mib(broker), "MiB", "lower")
        r = bench.client(d, "fill", "--queue", "waiting", "--jobs", n)
        time.sleep(SETTLE_S)
        bench.add("B7 bulk submit of all", r["rate"], limits=["B2 bulk submit"])
        bench.add("B7 broker's memory, all waiting", memory_mib(broker), "MiB", "lower")
        bench.add("B7 broker's memory, the most", memory_mib(broker, "VmHWM"), "MiB", "lower")
        bench.add("B7 database", (d.database_bytes() - empty) / n, "B/job", "lower")
        bench.add("B7 database and its log, on the disk", (d.disk_bytes() + d.disk_bytes("-wal")) / n, "B/job", "lower")
        d.start_worker()
        bench.ready(d, 1)
        for _ in bench.repeat():
            r = bench.client(d, "drain", "--jobs", bench.sizes["B3"], "--warm", bench.sizes["warm"], *NOTHING["thread"])
            bench.add("B7 drain on top of them, thread", r["rate"], limits=["B3 drain, thread", "limit finish"])
        bench.add("B7 broker's memory, after that", memory_mib(broker), "MiB", "lower")
        r = bench.client(d, "remove", "--queue", "waiting", "--jobs", n)
        bench.add("B7 cancel and rm of all", r["rate"])
        given_back(bench, d)


ALL = {"B1": b1_submit, "B2": b2_bulk, "B3": b3_drain, "B4": b4_run, "B5": b5_idle, "B6": b6_true, "B7": b7_waiting}
