"""load.py - the clients: what they submit and cancel, and what they were told."""

import base64
import hashlib
import json
import os
import subprocess
import time

PIPE_BYTES = 16 << 10
RETRIES = {"retries": 2, "backoff": "20ms..100ms"}


def command(rng, record, job, ms, end):
    return {"command": [job, record, str(ms), end], "tag": rng.choice(["cpu", "io", "slow-io", "auto"])}


def good(rng, record, job):
    return {**command(rng, record, job, rng.choice([0, 0, 5, 20, 80, 300, 600, 1000]), "0"), "retries": rng.choice([0, 3])}


def fails_always(rng, record, job):
    return {**command(rng, record, job, rng.choice([0, 10]), str(rng.randint(1, 90))), **RETRIES}


def fails_at_first(rng, record, job):
    return {**command(rng, record, job, rng.choice([0, 10]), f"{rng.randint(1, 90)}:{rng.randint(1, 2)}"), **RETRIES}


def dies_always(rng, record, job):
    return {**command(rng, record, job, 5, "kill"), **RETRIES}


def dies_at_first(rng, record, job):
    return {**command(rng, record, job, 5, "kill:1"), **RETRIES}


def runs_too_long(rng, record, job):
    return {**command(rng, record, job, 5000, "0"), "timeout": "150ms", "kill-grace": "100ms", "retries": 1,
            "backoff": "20ms..50ms"}


def few_losses(rng, record, job):
    return {**command(rng, record, job, rng.choice([100, 300]), "0"), "crash-limit": rng.choice([1, 2])}


def expires(rng, record, job):
    return {**command(rng, record, job, 0, "0"), "delay": "100ms", "expire": rng.choice(["150ms", "5s"])}


def later(rng, record, job):
    return {**command(rng, record, job, 10, "0"), "delay": f"{rng.randint(50, 900)}ms", "priority": rng.randint(-2, 2)}


def echo(rng, _record, _job):
    body = rng.randbytes(rng.choice([0, 20, 3000]))
    return {"handler": "echo", "payload_base64": base64.b64encode(body).decode(), "tag": rng.choice(["cpu", "io"]),
            "retries": 3, "backoff": "20ms..100ms"}


def sha256(rng, _record, _job):
    body = b"." + rng.randbytes(99) # a payload that begins with @ names a file
    return {"handler": "sha256", "payload_base64": base64.b64encode(body).decode(), "tag": rng.choice(["cpu", "io", "auto"]),
            "retries": 3, "backoff": "20ms..100ms"}


def sleep(rng, _record, _job):
    return {"handler": "sleep", "payload": f"{rng.choice([0, 10, 100, 400, 900])}ms",
            "tag": rng.choice(["cpu", "io", "slow-io", "slow-io"]), "retries": 3, "backoff": "20ms..100ms"}


KINDS = {good: 30, fails_always: 4, fails_at_first: 6, dies_always: 2, dies_at_first: 4, runs_too_long: 2, few_losses: 6,
         expires: 3, later: 8, echo: 12, sha256: 10, sleep: 13}


def make_jobs(rng, n, first_name, record, job):
    """n jobs of mixed kinds, each with a name that no other has."""
    jobs = []
    for i in range(n):
        make = rng.choices(list(KINDS), list(KINDS.values()))[0]
        jobs.append({"crash-limit": 1000, "queue": rng.choice(["a", "b", "c"]), **make(rng, record, job),
                     "name": f"j{first_name + i}"})
    return jobs


def expected_result(spec):
    """The bytes that prove that the handler ran; None for a command."""
    if spec.get("handler") == "echo":
        return base64.b64decode(spec["payload_base64"])
    if spec.get("handler") == "sha256":
        return hashlib.sha256(base64.b64decode(spec["payload_base64"])).hexdigest().encode()
    return b"" if spec.get("handler") == "sleep" else None


class Client:
    """A `tern` that runs on a host."""

    def __init__(self, world, host, words, out, stdin=subprocess.DEVNULL):
        self.killed = False
        self.out = out
        with open(out, "ab") as o, open(out + ".err", "ab") as e:
            self.process = subprocess.Popen(world.hosts.inside(host) + [world.tern] + words, stdin=stdin, stdout=o, stderr=e,
                                            cwd=world.directory, env=world.client_env(), start_new_session=True)

    def status(self):
        return self.process.poll()

    def kill(self):
        if self.status() is None:
            self.killed = True
            self.process.kill()
            self.process.wait()
        return self.killed

    def errors(self):
        with open(self.out + ".err", encoding="utf-8") as f:
            return f.read()


class Batch(Client):
    """One `tern submit --batch`, whose lines come to it over some time, so that it lives through faults. Acknowledged is what
    was printed, in whole lines, and nothing else."""

    def __init__(self, world, host, number, jobs, seconds):
        self.jobs = jobs
        lines = [(json.dumps(j) + "\n").encode() for j in jobs]
        path = os.path.join(world.records, f"batch-{number}")
        with open(path + ".json", "wb") as f:
            f.writelines(lines)
        super().__init__(world, host, ["submit", "--batch", "-"], path + ".ids", stdin=subprocess.PIPE)
        os.set_blocking(self.process.stdin.fileno(), False)
        begin = time.monotonic()
        self.due = [(begin + seconds * i / len(lines), line) for i, line in enumerate(lines)]
        self.rest = b""
        self.feed()

    def feed(self):
        """What is due of its lines, as far as it takes them."""
        if self.process.stdin.closed:
            return
        now = time.monotonic()
        while self.due and self.due[0][0] <= now and len(self.rest) < PIPE_BYTES:
            self.rest += self.due.pop(0)[1]
        try:
            while self.rest:
                self.rest = self.rest[os.write(self.process.stdin.fileno(), self.rest):]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.due, self.rest = [], b""
        if not self.due:
            self.process.stdin.close()

    def ids(self):
        with open(self.out, encoding="utf-8") as f:
            text = f.read()
        return [int(line) for line in text[:text.rfind("\n") + 1].splitlines()]


class Cancel(Client):
    def __init__(self, world, host, number, job):
        self.job = job
        super().__init__(world, host, ["cancel", str(job)], os.path.join(world.records, f"cancel-{number}"))
