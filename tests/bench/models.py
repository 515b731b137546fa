"""models.py - what make bench-models measures beside B8: the three kinds of work at once, all of them with one tag, each with its own, and
with auto, which begins knowing nothing; and a hybrid, one job that is in all three pools."""

import contextlib
import json
import os
import subprocess
import time

from daemons import Daemons, Failure, TreeMemory
from targets import WAYS

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

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


@contextlib.contextmanager
def slow_server(bench):
    """The port of one that answers after 0.2 to 1 s; it ends with its standard input."""
    with subprocess.Popen([os.path.join(bench.build, "contrib", "slow-server")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as server:
        yield int(server.stdout.readline())


def build_example(name, directory):
    """As a user would: against the one header."""
    os.symlink(os.path.join(SOURCE, "worker"), os.path.join(directory, "tern"))
    modules = os.path.join(directory, "modules")
    os.mkdir(modules)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-I", directory, "-o", os.path.join(modules, name + ".so"),
                    os.path.join(SOURCE, "contrib", "examples", name + ".c")], check=True)
    return modules


def hybrid(bench):
    """From the submit on, until the one job of all these items is done."""
    n = bench.sizes["hybrid"]
    for _ in bench.repeat():
        with Daemons(bench.build, bench.root) as d, slow_server(bench) as port:
            out = os.path.join(d.directory, "out")
            os.mkdir(out)
            d.start_broker()
            worker = d.start_worker("tern-worker", "--modules", build_example("pipeline", d.directory), "--http-allow", "loopback")
            bench.ready(d, 1)
            payload = "\n".join([out, *(f"http://127.0.0.1:{port}/{i}" for i in range(n))])
            with TreeMemory(worker) as memory:
                began = time.monotonic()
                tern(bench, d, "submit", "--handler", "pipeline", "--payload", "-", "--wait", stdin=payload)
                took = time.monotonic() - began
            if len(os.listdir(out)) != n:
                raise Failure(f"{n} items went in, {len(os.listdir(out))} came out")
            bench.add("hybrid", n / took)
            bench.add("hybrid: memory", memory.most_mib, "MiB", "lower")


MODELS_ONLY = {"mixed": mixed, "hybrid": hybrid}
