"""checker.py - compares the database with what commands and clients wrote down. It knows the tables, and nothing of tern's
own code."""

import sqlite3
from collections import Counter, defaultdict

import journal
from load import expected_result
from record import Record

RUNNING, DONE, DEAD, CANCELLED, EXPIRED = 3, 4, 5, 6, 7
ENDED_DONE, ENDED_FAILED, ENDED_CANCELLED, ENDED_EXPIRED, ENDED_LOST = range(5)
REASON_EXIT = 1
OUTPUT_STDOUT = 1
RESULT_MS = 1000    # a finished attempt's outcome is recorded within this time, when all is well

STATES = ["blocked", "scheduled", "queued", "running", "done", "dead", "cancelled", "expired"]
# What may not be, in the order of the table.
WRONGS = ["lost", "doubled", "doubled run", "wrong", "stuck", "held", "beyond limits", "counters", "died", "client failed"]


def by_job(rows):
    found = defaultdict(list)
    for row in rows:
        found[row["job"]].append(row)
    return found


def standard_output(body):
    """Of chunks [1 byte: stream][4 bytes: length][bytes]."""
    out, at = b"", 0
    while at + 5 <= len(body):
        n = int.from_bytes(body[at + 1:at + 5], "big")
        if body[at] == OUTPUT_STDOUT:
            out += body[at + 5:at + 5 + n]
        at += 5 + n
    return out


class Checker:
    """findings: (kind, text); figures: what was looked at."""

    def __init__(self, database, record_path, batches, cancels, disturbances):
        db = sqlite3.connect(database)
        db.row_factory = sqlite3.Row
        self.db = db
        self.findings, self.figures = [], Counter()
        self.record = Record(record_path)
        self.batches, self.cancels, self.disturbances = batches, cancels, disturbances
        specs = {row["job"]: dict(row) for row in journal.rows(db, "spec")}
        none = dict.fromkeys(journal.columns(db, "spec"))
        self.jobs = {row["id"]: {**specs.get(row["id"], none), **dict(row)} for row in journal.rows(db, "job")}
        self.attempts = by_job(journal.rows(db, "attempt"))
        self.events = by_job(journal.rows(db, "event"))
        self.outputs = {(r["job"], r["attempt"]): r["body"] for r in journal.rows(db, "output")}
        self.ends = by_job(db.execute("SELECT job, state, attempt FROM chaos_end"))
        self.specs = {spec["name"]: spec for batch in batches for spec in batch.jobs}
        self.runs = defaultdict(list)
        for run in self.record.runs.values():
            self.runs[run.job].append(run)

    def object(self, kind, text):
        self.findings.append((kind, text))

    def check(self):
        for row in self.db.execute("PRAGMA integrity_check"):
            if row[0] != "ok":
                self.object("wrong", f"the database is corrupt: {row[0]}")
        self.check_acknowledged()
        self.check_names()
        self.check_record()
        self.check_counters()
        self.check_cancels()
        for job in self.jobs.values():
            self.check_job(job)
        self.db.close()
        return self.findings

    # ---- what clients were told ----------------------------------------------------------------------------------

    def check_acknowledged(self):
        for batch in self.batches:
            ids = batch.ids()
            self.figures["acknowledged"] += len(ids)
            if batch.status() == 0 and len(ids) != len(batch.jobs):
                self.object("lost", f"{batch.out}: {len(ids)} ids for {len(batch.jobs)} jobs, though it ended well")
            for n, (job, spec) in enumerate(zip(ids, batch.jobs)):
                row = self.jobs.get(job)
                if row is None:
                    self.object("lost", f"{batch.out}: line {n + 1} acknowledged job {job}, which is not there")
                elif row["name"] != spec["name"]:
                    self.object("lost", f"{batch.out}: line {n + 1} acknowledged {spec['name']} as job {job}, which is {row['name']}")

    def check_names(self):
        names = Counter(row["name"] for row in self.jobs.values())
        self.figures["jobs"] += len(self.jobs)
        for name, n in names.items():
            if n > 1:
                self.object("doubled", f"{n} jobs are called {name}, which was submitted once")
            if name not in self.specs:
                self.object("wrong", f"nobody submitted a job called {name}")

    def check_cancels(self):
        asked = {cancel.job for cancel in self.cancels}
        for cancel in self.cancels:
            row = self.jobs.get(cancel.job)
            if cancel.status() == 0 and row is not None and row["state"] not in (CANCELLED, DONE):
                self.object("wrong", f"job {cancel.job} was cancelled, its client was told, and it is {STATES[row['state']]}")
        for job in self.jobs.values():
            if job["state"] == CANCELLED and job["id"] not in asked:
                self.object("wrong", f"job {job['id']} is cancelled, and nobody asked for it")

    # ---- what commands wrote down --------------------------------------------------------------------------------

    def check_record(self):
        self.figures["runs"] += len(self.record.runs)
        for key in self.record.doubled:
            self.object("doubled run", f"job {key[0]} attempt {key[1]} started twice")
        for line in self.record.torn:
            self.object("wrong", f"in the record: {line!r}")
        for (job, attempt) in self.record.runs:
            row = self.jobs.get(job)
            if row is None or attempt > row["attempt"]:
                self.object("wrong", f"job {job} attempt {attempt} ran, and the database knows of no such attempt")

    def disturbed(self, host, from_ms, to_ms):
        return any(h in (host, None) and a <= to_ms and b >= from_ms for h, a, b in self.disturbances)

    def check_held(self, job, given_up):
        """Nothing that a live worker holds, running or finished, is given to another: a broker that died is no reason."""
        runs = sorted(self.runs[job], key=lambda r: r.attempt)
        for a, b in zip(runs, runs[1:] + [None]):
            if a.ended_ms is None:
                continue
            until_ms = max(a.ended_ms + RESULT_MS, b.started_ms if b else 0)
            if self.disturbed(a.host, a.started_ms, until_ms):
                continue
            if b and b.started_ms < a.ended_ms:
                self.object("held", f"job {job} attempt {b.attempt} started on {b.host} while attempt {a.attempt} ran on {a.host}, "
                                    "which nobody had disturbed")
            if a.attempt in given_up:
                self.object("held", f"job {job} attempt {a.attempt} ran to its end on {a.host}, which nobody had disturbed, and its "
                                    "outcome was not taken")

    # ---- one job ---------------------------------------------------------------------------------------------------

    def check_job(self, job):
        self.figures[STATES[job["state"]]] += 1
        if job["state"] < DONE:
            self.object("stuck", f"job {job['id']} ({job['name']}) is {STATES[job['state']]} attempt {job['attempt']}")
            return
        self.check_ends(job)
        self.check_attempts(job)
        self.check_limits(job)

    def check_ends(self, job):
        ends = self.ends[job["id"]]
        if len(ends) != 1 or ends[0]["state"] != job["state"] or ends[0]["attempt"] != job["attempt"]:
            texts = ", ".join(f"{STATES[e['state']]} at attempt {e['attempt']}" for e in ends)
            self.object("doubled", f"job {job['id']} is {STATES[job['state']]} at attempt {job['attempt']}; it ended: {texts or 'never'}")

    def check_attempts(self, job):
        numbered = {a["n"]: a for a in self.attempts[job["id"]]}
        handed_back = {e["attempt"] for e in self.events[job["id"]] if e["event"] == "handed-back"}
        self.figures["attempts"] += len(numbered)
        for n in range(1, job["attempt"] + 1):
            if n not in numbered and n not in handed_back:
                self.object("wrong", f"job {job['id']}: no outcome of attempt {n} was recorded")
        self.check_held(job["id"], handed_back | {n for n, a in numbered.items() if a["ending"] == ENDED_LOST})
        for n, a in numbered.items():
            self.figures["lost attempts"] += a["ending"] == ENDED_LOST
            if a["ending"] == ENDED_DONE and (n != job["attempt"] or job["state"] != DONE):
                self.object("wrong", f"job {job['id']} is {STATES[job['state']]} at attempt {job['attempt']}, but attempt {n} was done")
            self.check_outcome(job, a)
        if job["state"] == DONE and numbered.get(job["attempt"], {"ending": None})["ending"] != ENDED_DONE:
            self.object("wrong", f"job {job['id']} is done, but its attempt {job['attempt']} was not")

    def check_outcome(self, job, a):
        """What is recorded is what this very attempt did."""
        spec = self.specs.get(job["name"], {})
        if "command" not in spec:
            result = a["result"] or b""
            if a["ending"] == ENDED_DONE and result != expected_result(spec):
                self.object("wrong", f"job {job['id']} ({spec.get('handler')}): its result is not that of its payload")
            return
        run = self.record.runs.get((job["id"], a["n"]))
        code = run.code if run else None
        text = f"job {job['id']} attempt {a['n']}: recorded"
        if a["ending"] == ENDED_DONE and code != 0:
            self.object("wrong", f"{text} as done, its command says {code}")
        if a["ending"] == ENDED_FAILED and a["reason"] == REASON_EXIT and code != a["exit_code"]:
            self.object("wrong", f"{text} with exit status {a['exit_code']}, its command says {code}")
        output = standard_output(self.outputs.get((job["id"], a["n"]), b""))
        if a["ending"] == ENDED_DONE and output != f"{job['id']} {a['n']}\n".encode():
            self.object("wrong", f"{text} with the output {output!r}")

    def check_limits(self, job):
        endings = Counter(a["ending"] for a in self.attempts[job["id"]])
        retries, limit = job["retries"] or 0, job["crash_limit"]
        text = f"job {job['id']} ({STATES[job['state']]})"
        if job["failures"] != endings[ENDED_FAILED] or job["crashes"] > endings[ENDED_LOST]:
            self.object("beyond limits", f"{text}: counts {job['failures']} failures and {job['crashes']} losses; its attempts say "
                                         f"{endings[ENDED_FAILED]} and {endings[ENDED_LOST]}")
        if job["failures"] > retries + 1 or job["crashes"] > limit:
            self.object("beyond limits", f"{text}: {job['failures']} failures with {retries} retries, {job['crashes']} losses of {limit}")
        if job["state"] == DEAD and job["failures"] <= retries and job["crashes"] < limit:
            self.object("beyond limits", f"{text}: dead after {job['failures']} failures with {retries} retries, "
                                         f"{job['crashes']} losses of {limit}")
        if job["state"] == EXPIRED and job["expire_at"] is None:
            self.object("wrong", f"{text}: it had no time to expire at")

    # ---- kept counters -----------------------------------------------------------------------------------------------

    def check_counters(self):
        kept = {(r["class"], r["state"]): r["n"] for r in self.db.execute("SELECT class, state, n FROM counter") if r["n"]}
        counted = {(r[0], r[1]): r[2] for r in self.db.execute("SELECT class, state, count(*) FROM job GROUP BY class, state")}
        for key in kept.keys() | counted.keys():
            if kept.get(key, 0) != counted.get(key, 0):
                self.object("counters", f"class {key[0]} {STATES[key[1]]}: {kept.get(key, 0)} kept, {counted.get(key, 0)} counted")
