"""chaos.py - a broker, three workers and clients, killed, stopped, cut off and starved for many rounds; in between and at the
end everything is compared (checker.py). Started by tests/chaos/run, in namespaces of its own."""

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter

from checker import WRONGS
from hosts import Hosts, Unsupported
from plan import FAULTS, make_round
from world import Programs, World

ROUNDS_A_CHECK = 10
STATUS_SKIP = 77
STATUS_INTERRUPTED = 130


class Chaos:
    def __init__(self, options):
        self.options = options
        self.hosts = Hosts(4)
        self.programs = Programs(options.build)
        self.faults, self.figures, self.wrongs = Counter(), Counter(), Counter()
        self.evidence = None
        self.began = time.monotonic()
        self.log = open(os.path.join(options.directory, "rounds.log"), "w", encoding="utf-8", buffering=1)

    def say(self, text):
        print(text, flush=True)
        self.log.write(text + "\n")

    def rng(self, *what):
        return random.Random(" ".join(map(str, (self.options.seed, *what))))

    def run(self):
        done, generation = 0, 0
        while done < self.options.rounds:
            n = min(self.options.rounds - done, self.options.generation)
            done += self.generation(generation, done, n)
            generation += 1
        self.hosts.down()
        self.print_table(done)
        return 1 if self.wrongs else 0

    def generation(self, number, first, n):
        """Up to n rounds on one database: findings end it early. How many it were."""
        directory = os.path.join(self.options.directory, f"generation-{number}")
        os.makedirs(directory)
        world = World(directory, self.hosts, self.programs, number, number % 4 != 1, self.rng("load", number))
        figures, done = Counter(), 0
        try:
            world.start()
            while done < n and not world.findings:
                self.round(world, first + done)
                done += 1
                if done % ROUNDS_A_CHECK == 0 or done == n or world.findings:
                    figures = self.check(world, first + done, done == n or bool(world.findings), figures)
        finally:
            world.kill_all()
        self.take(world, figures)
        if world.findings:
            self.keep(world)
        elif not self.options.keep:
            shutil.rmtree(directory)
        return done

    def round(self, world, number):
        names, steps = make_round(self.rng("round", number), self.options.seconds, world.over_tcp,
                                   self.options.only)
        self.faults.update(names)
        self.log.write(f"round {number}: {', '.join(names)}\n")
        self.log.writelines(f"    {step}\n" for step in steps)
        world.play(steps, self.options.seconds)

    def check(self, world, rounds, last, before):
        world.settle()
        if last:
            world.stop_workers()
        figures = world.check()
        if not last:
            world.broker.start()
        new = figures - before
        total = self.figures + figures
        self.say(f"{rounds} rounds, {time.monotonic() - self.began:.0f} s: {total['acknowledged']} acknowledged, "
                 f"{total['attempts']} attempts ({new['attempts']} new), {total['lost attempts']} lost with their worker, "
                 f"{total['results refused'] + total['attempts given up']} too late, "
                 f"calm after {figures['longest calm, ms']} ms, {len(world.findings)} violations")
        return figures

    def take(self, world, figures):
        longest = max(self.figures["longest calm, ms"], figures["longest calm, ms"])
        self.figures += figures
        self.figures["longest calm, ms"] = longest
        self.wrongs.update(kind for kind, _ in world.findings)

    def keep(self, world):
        """The first generation that went wrong stays, whole."""
        text = [f"{kind}: {what}" for kind, what in world.findings]
        for line in text[:20]:
            self.say("VIOLATION " + line)
        if len(text) > 20:
            self.say(f"... and {len(text) - 20} more")
        if self.evidence is None:
            self.evidence = world.directory
            self.say(f"its evidence is kept in {self.evidence}")
            with open(os.path.join(world.directory, "violations.txt"), "w", encoding="utf-8") as f:
                f.writelines(line + "\n" for line in text)
        else:
            shutil.rmtree(world.directory)

    def print_table(self, rounds):
        rows = [("rounds", rounds), ("seconds", round(time.monotonic() - self.began)), ("seed", self.options.seed)]
        rows += [("  " + name, self.faults[name]) for name in FAULTS]
        rows += [(name, self.figures[name]) for name in (
            "jobs", "acknowledged", "cancels", "runs", "attempts", "lost attempts", "done", "dead", "cancelled", "expired",
            "results refused", "attempts given up", "starts refused: disk full", "standstills", "longest calm, ms")]
        rows += [(name.upper(), self.wrongs[name]) for name in WRONGS]
        for name, value in rows:
            self.say(f"{name:28} {value:>10}")
        if self.evidence:
            self.say(f"the evidence of the first violation is in {self.evidence}")


def read_options():
    p = argparse.ArgumentParser(prog="tests/chaos/run")
    p.add_argument("rounds", type=int, nargs="?", default=20)
    p.add_argument("--seed", type=int, default=random.randrange(1000000))
    p.add_argument("--seconds", type=float, default=2.5, help="a round takes so long")
    p.add_argument("--generation", type=int, default=20, help="rounds on one database")
    p.add_argument("--only", action="append", choices=list(FAULTS), help="this fault; may be repeated")
    p.add_argument("--keep", action="store_true", help="keep the directory also of a good run")
    p.add_argument("--build", default=os.environ.get("TERN_BUILD", "."))
    p.add_argument("--directory", required=True)
    return p.parse_args()


def main():
    options = read_options()
    options.build = os.path.abspath(options.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        chaos = Chaos(options)
    except Unsupported as e:
        print(f"skipped: {e}")
        return STATUS_SKIP
    chaos.say(f"chaos: {options.rounds} rounds of {options.seconds} s, seed {options.seed}, in {options.directory}")
    try:
        return chaos.run()
    except KeyboardInterrupt:
        return STATUS_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
