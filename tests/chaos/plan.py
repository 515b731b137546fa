"""plan.py - what happens in a round, and when: all of it chosen from the seed, so that the same seed makes the same plan."""

from dataclasses import dataclass

WORKERS = 3
CUTS = ["both ways", "both ways", "carrier", "to the broker", "from the broker"]


@dataclass
class Step:
    at: float       # seconds from the round's beginning
    verb: str       # a method of World, without its do_
    args: tuple = ()

    def __str__(self):
        return " ".join([f"{self.at:.2f}", self.verb, *map(str, self.args)])


def kill_broker(rng, at):
    steps = []
    for _ in range(rng.randint(1, 3)):
        back = at + rng.choice([0, 0, rng.uniform(0, 1)])
        steps += [Step(at, "kill_broker"), Step(back, "start_broker")]
        at = back + rng.uniform(0.05, 0.5)
    return steps


def stop_broker(rng, at):
    return [Step(at, "stop_broker"), Step(at + rng.uniform(0.3, 1.5), "resume_broker")]


def second_broker(_rng, at):
    return [Step(at, "second_broker")]


def full_disk(rng, at):
    """While somebody reads the database, its log cannot begin anew: it grows, until the disk is full. What the broker frees
    then is filled again."""
    full = at + rng.choice([0, 0.5, 1])
    steps = [Step(at, "hold_reader"), Step(full + rng.uniform(0.5, 1.5), "empty_disk")]
    return steps + [Step(full + 0.15 * i, "fill_disk") for i in range(rng.randint(1, 3))]


def kill_worker(rng, at):
    w = rng.randrange(WORKERS)
    return [Step(at, "kill_worker", (w,)), Step(at + rng.choice([0, rng.uniform(0, 1)]), "start_worker", (w,))]


def stop_worker(rng, at):
    w = rng.randrange(WORKERS)
    return [Step(at, "stop_worker", (w,)), Step(at + rng.uniform(0.6, 1.5), "resume_worker", (w,))]


def terminate_worker(rng, at):
    return [Step(at, "terminate_worker", (rng.randrange(WORKERS),))]


def kill_zygote(rng, at):
    return [Step(at, "kill_in_tree", (rng.randrange(WORKERS), 1, 0))]


def kill_child(rng, at):
    w = rng.randrange(WORKERS)
    return [Step(at + 0.1 * i, "kill_in_tree", (w, 2, rng.randrange(20))) for i in range(rng.randint(1, 3))]


def kill_command(rng, at):
    w = rng.randrange(WORKERS)
    return [Step(at + 0.1 * i, "kill_in_tree", (w, 3, rng.randrange(20))) for i in range(rng.randint(1, 5))]


def cut_link(rng, at):
    w = rng.randrange(WORKERS)
    return [Step(at, "cut_link", (w, rng.choice(CUTS))), Step(at + rng.uniform(0.2, 1.5), "heal_link", (w,))]


def few_descriptors(rng, at):
    who = rng.choice(["broker", "worker", "zygote"])
    w = rng.randrange(WORKERS)
    return [Step(at, "limit_descriptors", (who, w, rng.randint(0, 2))),
            Step(at + rng.uniform(0.5, 1.5), "restore_descriptors", (who, w))]


def kill_client(rng, at):
    return [Step(at, "kill_client", (rng.randint(1, 4), round(rng.uniform(0.01, 0.1), 3)))]


FAULTS = {
    "broker killed": (5, kill_broker),
    "broker stopped": (3, stop_broker),
    "second broker": (2, second_broker),
    "disk full": (5, full_disk),
    "worker killed": (4, kill_worker),
    "worker stopped": (4, stop_worker),
    "worker drained": (3, terminate_worker),
    "zygote killed": (3, kill_zygote),
    "child killed": (3, kill_child),
    "command killed": (3, kill_command),
    "link cut": (6, cut_link),
    "descriptors": (3, few_descriptors),
    "client killed": (4, kill_client),
}


def load(rng, seconds, batches):
    steps = [Step(rng.uniform(0, 0.95 * seconds), "submit", (rng.randint(1, 4), rng.randint(20, 100), rng.choice([0, 0.5, 1.5])))
             for _ in range(batches)]
    return steps + [Step(rng.uniform(0.1, 0.9) * seconds, "cancel", (rng.random(),)) for _ in range(rng.randint(1, 5))]


def make_round(rng, seconds, links, only):
    """(names of the faults, steps in order of time)"""
    faults = [name for name in FAULTS if (links or name != "link cut") and (not only or name in only)]
    n = rng.choices([1, 2, 3, 4], [2, 3, 3, 2])[0]
    chosen = rng.choices(faults, [FAULTS[name][0] for name in faults], k=n) if faults else []
    steps = load(rng, seconds, 6)
    for name in chosen:
        steps += FAULTS[name][1](rng, rng.uniform(0, 0.7) * seconds)
    return chosen, sorted(steps, key=lambda s: s.at)
