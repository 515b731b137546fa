"""measures.py - B1 to B8, each with the limits that belong to it, measured in turns with them."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from daemons import Daemons, Failure, TreeMemory, memory_mib
from figures import Figures

FULL = {
    "repeats": 3, "repeats of one at a time": 5,
    "commits": 5000, "syncs": 2000, "round trips": 20000, "rows": 300000, "spawns": 3000,
    "B1": 5000, "B2": 300000, "B3": 100000, "B4": 100000, "B5": 300, "B6": 3000, "B7": 1000000, "B8": 1, "mixed": 1, "hybrid": 1000, "warm": 2000, "rests": 1000,
    "backlog": [10000, 100000, 1000000, 10000000], "load": [100, 1000, 5000, 10000, 20000, 40000, 60000, 80000], "load for": 3,
}
QUICK = {
    "repeats": 1, "repeats of one at a time": 1,
    "commits": 1000, "syncs": 1000, "round trips": 1000, "rows": 10000, "spawns": 1000,
    "B1": 300, "B2": 20000, "B3": 5000, "B4": 5000, "B5": 30, "B6": 100, "B7": 20000, "B8": 0.1, "mixed": 0.05, "hybrid": 50, "warm": 100, "rests": 1000,
    "backlog": [10000, 20000], "load": [100, 1000], "load for": 1,
}
WARM_ONE_AT_A_TIME = 50  # jobs
BUDGET_S = 570           # of all; what does not fit fails
BUDGET_FULL_S = 3600
SETTLE_S = 2             # until a broker that has nothing to do has tidied up
GIVE_BACK_S = 300
FREE_PAGES = 1000        # so many the broker keeps for what comes next

# What does nothing in each pool. echo has no async form, so on the loop it is a sleep of no time.
NOTHING = {
    "thread": ["--tag", "io", "--handler", "echo"],
    "loop": ["--tag", "slow-io", "--handler", "sleep", "--payload", "0s"],
    "process": ["--tag", "cpu", "--handler", "echo"],
}
TAGS = {"thread": "io", "loop": "slow-io", "process": "cpu"}

# The three models: handler, payload, and jobs by pool, which are so many that each takes about a second.
LOADS = {
    "computing": ("compute", "", {"thread": 500, "loop": 500, "process": 500}),
    "fast I/O": ("file", "", {"thread": 3000, "loop": 3000, "process": 3000}),
    "slow I/O": ("sleep", "100ms", {"thread": 300, "loop": 20000, "process": 40}),
}


class Bench:
    def __init__(self, build, root, sizes, budget_s=BUDGET_S):
        self.build, self.root, self.sizes, self.budget_s = build, root, sizes, budget_s
        self.figures = Figures()
        self.curves = {}  # name: points, in the order of x
        self.until = time.monotonic() + budget_s

    def call(self, words):
        left = self.until - time.monotonic()
        if left <= 0:
            raise Failure(f"no time left: all of it has {self.budget_s} s")
        try:
            p = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done within the {self.budget_s} s that all of it has: {' '.join(words[1:])}") from None
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

    def point(self, curve, **values):
        self.curves.setdefault(curve, []).append(values)
        print(f"{curve}: {values}", file=sys.stderr)

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


def limits_of_idle(bench):
    bench.limit("idle-commit", "rests")
    bench.limit("idle-roundtrip", "rests")


ONE = "limit commit+limit roundtrip"
ONE_P50 = "limit commit p50+limit roundtrip p50"
ONE_P99 = "limit commit p99+limit roundtrip p99"
IDLE_P50 = "limit idle-commit p50+limit idle-roundtrip p50"


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
        b4_long(bench)
        b4_watched(bench)


def look_on(bench, daemons):
    words = [os.path.join(bench.build, "tests", "bench", "client"), daemons.address, "look"]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def b4_long(bench):
    """As many as b4_watched, and nobody looks."""
    with Daemons(bench.build, bench.root) as d:
        d.start_broker()
        d.start_worker()
        bench.ready(d, 1)
        r = bench.client(d, "run", "--jobs", 2 * bench.sizes["B4"], "--warm", bench.sizes["warm"], *NOTHING["thread"])
    bench.add("B4 of twice as many, thread", r["rate"], limits=["limit life"])


def b4_watched(bench):
    """While somebody lists and counts, and finished jobs are deleted beyond an eighth of them: the second figure says how many
    that were by the end."""
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
    bench.add("B4 with retention, list and stats, thread", r["rate"], limits=["B4 of twice as many, thread", "limit life"])
    bench.add("B4 of these deleted meanwhile", (n + warm - r["kept"]) * 100 / n, "%", "higher")


def b5_idle(bench):
    clock = {pool: ["--tag", tag, "--handler", "clock"] for pool, tag in TAGS.items()}
    for _ in bench.repeat("repeats of one at a time"):
        limits_of_one(bench)
        limits_of_idle(bench)
        for pool, r in in_pools(bench, "B5", "idle", bench.sizes["B5"], WARM_ONE_AT_A_TIME, clock, [], "tests/bench/worker"):
            for moment in ("ack", "start", "ended", "result"):
                bench.add(f"B5 idle, {pool}: {moment} p50", r[moment + "_p50_us"], "us", "lower", [IDLE_P50, ONE_P50])


def b6_true(bench):
    commands = {pool: ["--tag", tag, "--command", "/bin/true"] for pool, tag in TAGS.items()}
    for _ in bench.repeat():
        bench.limit("spawn", "spawns")
        rates_in_pools(bench, "B6 /bin/true", "run", bench.sizes["B6"], WARM_ONE_AT_A_TIME, commands, ["limit spawn"])


def drain_on_none(bench):
    if "B3 drain, thread" not in bench.figures.of:
        b3_drain(bench)


def given_back(bench, daemons, name):
    """Percent of what the database took at most that it still takes, once the broker has no more to give back."""
    most, until = daemons.disk_bytes(), time.monotonic() + GIVE_BACK_S
    began = time.monotonic()
    while daemons.free_pages() > FREE_PAGES and time.monotonic() < until:
        time.sleep(0.5)
    took = time.monotonic() - began
    time.sleep(SETTLE_S)
    bench.add(f"{name} space still taken once they are gone", daemons.disk_bytes() * 100 / most, "%", "lower")
    bench.add(f"{name} time until it was given back", took, "s", "lower")


def drain_on_top(bench, daemons, name):
    values = []
    for _ in bench.repeat():
        r = bench.client(daemons, "drain", "--jobs", bench.sizes["B3"], "--warm", bench.sizes["warm"], *NOTHING["thread"])
        bench.add(f"{name} drain on top of them, thread", r["rate"], limits=["B3 drain, thread", "limit finish"])
        values.append(r["rate"])
    return statistics.median(values)


def look_at(bench, daemons, name):
    r = bench.client(daemons, "look")
    bench.add(f"{name} a list of the newest 1,000", r["list_p50_us"], "us", "lower")
    bench.add(f"{name} stats", r["stats_p50_us"], "us", "lower")


def start_again(bench, daemons, name):
    daemons.stop_all()
    began = time.monotonic()
    broker = daemons.start_broker()
    bench.ready(daemons, 0)
    bench.add(f"{name} start of the broker on them", (time.monotonic() - began) * 1000, "ms", "lower")
    return broker


def fill(bench, daemons, n):
    return bench.client(daemons, "fill", "--queue", "waiting", "--jobs", n)["rate"]


def costs(bench, daemons, broker, n, empty, name):
    time.sleep(SETTLE_S)
    bench.add(f"{name} broker's memory, all waiting", memory_mib(broker), "MiB", "lower")
    bench.add(f"{name} broker's memory, the most", memory_mib(broker, "VmHWM"), "MiB", "lower")
    bench.add(f"{name} database", (daemons.database_bytes() - empty) / n, "B/job", "lower")
    bench.add(f"{name} database and its log, on the disk", (daemons.disk_bytes() + daemons.disk_bytes("-wal")) / n, "B/job", "lower")


def waiting(bench, name, n, climb=None):
    """n jobs wait; climb, if given, is called on an empty broker, and lets all but the last of them come."""
    with Daemons(bench.build, bench.root) as d:
        broker = d.start_broker()
        bench.ready(d, 0)
        time.sleep(SETTLE_S)
        empty = d.database_bytes()
        bench.add(f"{name} broker's memory, none waiting", memory_mib(broker), "MiB", "lower")
        there = climb(bench, d) if climb else 0
        bench.add(f"{name} bulk submit of all", fill(bench, d, n - there), limits=["B2 bulk submit"])
        costs(bench, d, broker, n, empty, name)
        d.start_worker()
        bench.ready(d, 1)
        rate = drain_on_top(bench, d, name)
        bench.add(f"{name} broker's memory, after that", memory_mib(broker), "MiB", "lower")
        look_at(bench, d, name)
        broker = start_again(bench, d, name)
        bench.add(f"{name} broker's memory, started anew", memory_mib(broker), "MiB", "lower")
        r = bench.client(d, "remove", "--queue", "waiting", "--jobs", n)
        bench.add(f"{name} cancel and rm of all", r["rate"])
        given_back(bench, d, name)
    return rate


def b7_waiting(bench):
    drain_on_none(bench)
    waiting(bench, "B7", bench.sizes["B7"])


def b8_models(bench):
    for _ in bench.repeat():
        for load, (handler, payload, jobs) in LOADS.items():
            for pool, tag in TAGS.items():
                with Daemons(bench.build, bench.root) as d:
                    d.start_broker()
                    worker = d.start_worker("tests/bench/worker")
                    bench.ready(d, 1)
                    with TreeMemory(worker) as memory:
                        r = bench.client(d, "run", "--jobs", max(int(jobs[pool] * bench.sizes["B8"]), 10), "--warm", 10,
                                         "--handler", handler, "--payload", payload, "--tag", tag)
                bench.add(f"B8 {load}, {pool}", r["rate"])
                bench.add(f"B8 {load}, {pool}: memory", memory.most_mib, "MiB", "lower")


ALL = {"B1": b1_submit, "B2": b2_bulk, "B3": b3_drain, "B4": b4_run, "B5": b5_idle, "B6": b6_true, "B7": b7_waiting, "B8": b8_models}
