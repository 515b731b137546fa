"""record.py - reads what the commands wrote down of themselves."""

from dataclasses import dataclass
from typing import Optional


@dataclass
class Run:
    job: int
    attempt: int
    pid: int
    host: str
    started_ms: int
    code: Optional[int] = None
    ended_ms: Optional[int] = None


class Record:
    """runs: by (job, attempt), the first of each; doubled: what came again; torn: lines that are none."""

    def __init__(self, path):
        self.runs, self.doubled, self.torn = {}, [], []
        with open(path, encoding="utf-8") as f:
            for line in f:
                self.take(line)

    def take(self, line):
        words = line.split()
        if line.endswith("\n") and len(words) == 6 and words[0] == "start":
            self.take_start(Run(int(words[1]), int(words[2]), int(words[3]), words[4], int(words[5])))
        elif line.endswith("\n") and len(words) == 5 and words[0] == "end":
            self.take_end(int(words[1]), int(words[2]), int(words[3]), int(words[4]))
        else:
            self.torn.append(line)

    def take_start(self, run):
        key = (run.job, run.attempt)
        if key in self.runs:
            self.doubled.append(key)
        else:
            self.runs[key] = run

    def take_end(self, job, attempt, code, ms):
        run = self.runs.get((job, attempt))
        if run is None or run.code is not None:
            self.torn.append(f"end {job} {attempt} {code}: without a start of its own")
        else:
            run.code, run.ended_ms = code, ms
