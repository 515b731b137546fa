"""models.py - what make bench-models measures beside B8: the three kinds of work at once, all of them with one tag, each with its own, and
with auto, which begins knowing nothing."""

import json
import os
import subprocess
import time

from daemons import Daemons, Failure, TreeMemory
from targets import WAYS

# handler, payload, jobs, the tag that fits
MIX = [("compute", "", 400, "cpu"), ("file", "", 2000, "io"), ("sleep", "100ms", 600, "slow-io")]


def lines(part, tag):
    """In turns, so that every kind is there from the first to the last moment."""
    counts = [max(int(jobs * part), 10) for _, _, jobs, _ in MIX]
    n = max(counts)
    for i in range(n):
        for (handler, payload, _, own), count in zip(MIX, counts):
            if i * count // n != (i + 1) * count // n:
                yield json.dumps({"handler": handler, "payload": payload, "tag": own if tag == "each its own" else tag})


def tern(bench, daemons, *words, stdin=None):
    left = bench.until - time.monotonic()
    if left <= 0:
        raise Failure(f"no time left: all of it has {bench.budget_s} s")
    try:
        p = subprocess.run([os.path.join(bench.build, "tern"), "--broker", daemons.address, *words], input=stdin, capture_output=True,
                           text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"not done within the {bench.budget_s} s that all of it has: tern {words[0]}") from None
    if p.returncode != 0:
        raise Failure(f"tern {words[0]} ended with {p.returncode}: {p.stderr.strip()[:300]}")
    return p.stdout


def mixed(bench):
    """From the submit on, until all are done."""
    for _ in bench.repeat():
        for way in WAYS:
            batch = list(lines(bench.sizes["mixed"], way))
            with Daemons(bench.build, bench.root) as d:
                d.start_broker()
                worker = d.start_worker("tests/bench/worker")
                bench.ready(d, 1)
                with TreeMemory(worker) as memory:
                    began = time.monotonic()
                    ids = tern(bench, d, "submit", "--batch", "-", stdin="\n".join(batch) + "\n").split()
                    tern(bench, d, "wait", "all")
                    took = time.monotonic() - began
            if len(ids) != len(batch):
                raise Failure(f"{len(batch)} jobs were submitted, {len(ids)} were taken")
            bench.add(f"mixed, {way}", len(batch) / took)
            bench.add(f"mixed, {way}: memory", memory.most_mib, "MiB", "lower")


MODELS_ONLY = {"mixed": mixed}
