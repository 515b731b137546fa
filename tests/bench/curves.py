"""curves.py - what make bench-full measures beside: rate against backlog, up to 10,000,000 jobs, and latency against load."""

from daemons import Daemons, Failure
from measures import NOTHING, TAGS, WARM_ONE_AT_A_TIME, b2_bulk, drain_on_none, fill, waiting


def climb(bench, daemons):
    """Every size of the backlog but the last. The worker stays there only while it is needed: what it does not run it does not hold."""
    there = 0
    for n in bench.sizes["backlog"][:-1]:
        submit = fill(bench, daemons, n - there)
        there = n
        daemons.start_worker()
        bench.ready(daemons, 1)
        r = bench.client(daemons, "drain", "--jobs", bench.sizes["B3"], "--warm", bench.sizes["warm"], *NOTHING["thread"])
        daemons.stop_last()
        bench.point("backlog", jobs=n, drain=r["rate"], submit=submit)
    return there


def backlog(bench):
    drain_on_none(bench)
    if "B2 bulk submit" not in bench.figures.of:
        b2_bulk(bench)
    n = bench.sizes["backlog"][-1]
    name = f"B7 of {n:,}:"
    bench.point("backlog", jobs=0, drain=bench.figures.median("B3 drain, thread"), submit=bench.figures.median("B2 bulk submit"))
    rate = waiting(bench, name, n, climb)
    bench.point("backlog", jobs=n, drain=rate, submit=bench.figures.median(f"{name} bulk submit of all"))


def load(bench):
    """Jobs come at a steady rate, each at its own moment, whether or not those before have started."""
    for rate in bench.sizes["load"]:
        with Daemons(bench.build, bench.root) as d:
            d.start_broker()
            d.start_worker("tests/bench/worker")
            bench.ready(d, 1)
            r = bench.client(d, "pace", "--rate", rate, "--jobs", rate * bench.sizes["load for"], "--warm", WARM_ONE_AT_A_TIME,
                             "--handler", "clock", "--tag", TAGS["thread"])
        if r["start_p50_us"] <= 0:
            raise Failure("a job started before it came")
        bench.point("load", rate=rate, taken=r["rate"], p50_us=r["start_p50_us"], p99_us=r["start_p99_us"])
        bench.add(f"latency at {rate:,} a second: start p50", r["start_p50_us"], "us", "lower")
        bench.add(f"latency at {rate:,} a second: start p99", r["start_p99_us"], "us", "lower")


FULL_ONLY = {"backlog": backlog, "load": load}
