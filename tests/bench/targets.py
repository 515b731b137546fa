"""targets.py - what the figures should be, and a table in Markdown that says whether they are."""

import figures

POOLS = ("thread", "loop", "process")
LOADS = ("computing", "fast I/O", "slow I/O")
WAYS = ("cpu", "io", "slow-io", "each its own", "auto")


class Target:
    """Of one figure. kind: `value` or `ratio` (to the figure's first limit); better: `>=` or `<=`."""

    def __init__(self, figure, kind, better, bound, text, or_ratio=None):
        self.figure, self.kind, self.better, self.bound, self.text, self.or_ratio = figure, kind, better, bound, text, or_ratio

    def reached(self, f):
        ratio = f["limits"][0]["ratio"] if f["limits"] else None
        value = f["median"] if self.kind == "value" else ratio
        if value is None:
            return None
        good = value >= self.bound if self.better == ">=" else value <= self.bound
        return good or (self.or_ratio is not None and ratio is not None and ratio >= self.or_ratio)


def at_least(figure, rate, or_ratio=None):
    text = f"{rate:,} /s" + (f" or {or_ratio:.0%}" if or_ratio else "")
    return Target(figure, "value", ">=", rate, text, or_ratio)


def within(figure, factor):
    return Target(figure, "ratio", "<=", factor, f"{factor} x")


def share(figure, part):
    return Target(figure, "ratio", ">=", part, f"{part:.0%}")


def below(figure, value, text):
    return Target(figure, "value", "<=", value, text)


# The limits of the machine for which the rates were set: another one is held to the same share of its own.
FINISH, LIFE = 365000, 238000
TEN_M = "B7 of 10,000,000:"
TARGETS = [
    within("B1 submit p50", 1.3),
    at_least("B2 bulk submit", 250000, 0.4),
    at_least("B3 drain, thread", 100000, 100000 / FINISH),
    at_least("B3 drain, loop", 100000, 100000 / FINISH),
    at_least("B3 drain, process", 60000, 60000 / FINISH),
    *[at_least(f"B4 submit and run, {pool}", 60000, 60000 / LIFE) for pool in POOLS],
    share("B4 with retention, list and stats, thread", 0.95),
    *[within(f"B5 idle, {pool}: start p50", 1.5) for pool in ("thread", "loop")],
    *[within(f"B5 idle, {pool}: result p50", 2.5) for pool in ("thread", "loop")],
    *[share(f"B6 /bin/true, {pool}", 0.75) for pool in POOLS],
    below("B7 broker's memory, the most", 64, "64 MiB"),
    below(f"{TEN_M} broker's memory, the most", 100, "100 MiB"),
    below("B7 database", 300, "300 B/job"),
    below(f"{TEN_M} database", 300, "300 B/job"),
    share("B7 drain on top of them, thread", 0.9),
    share(f"{TEN_M} drain on top of them, thread", 0.9),
    below("B7 space still taken once they are gone", 10, "10 %"),
    below(f"{TEN_M} space still taken once they are gone", 10, "10 %"),
]


def line(cells):
    return "| " + " | ".join(cells) + " |"


def target_row(target, f):
    if f is None:
        return [target.figure, target.text, "", "not measured", "", ""]
    limit = f["limits"][0] if f["limits"] else None
    bound, ratio = "", ""
    if limit:
        bound = figures.form(f).format(limit["value"]) + f" ({limit['name'].replace('limit ', '')})"
        ratio = figures.ratio(f, limit)
    reached = target.reached(f)
    return [target.figure, target.text, bound, f"{figures.text(f)} ({figures.span(f)})", ratio,
            "?" if reached is None else "yes" if reached else "**no**"]


def cell(rate, memory, best):
    if not rate or not memory:
        return "not measured"
    text = f"{figures.text(rate)}, {figures.text(memory)}"
    return f"**{text}**" if best else text


def row_of(by_name, names):
    """The best rate in bold."""
    rates = [by_name.get(name) for name in names]
    most = max((r["median"] for r in rates if r), default=None)
    return [cell(r, by_name.get(f"{name}: memory"), r and r["median"] == most) for name, r in zip(names, rates)]


def models(by_name):
    """B8: a row a load, a column a pool."""
    rows = [line([load, *row_of(by_name, [f"B8 {load}, {pool}" for pool in POOLS])]) for load in LOADS]
    return [line(["B8", *POOLS]), line(["---"] * 4), *rows]


def mixed(by_name):
    return [line(["all at once", *WAYS]), line(["---"] * (len(WAYS) + 1)),
            line(["mixed", *row_of(by_name, [f"mixed, {way}" for way in WAYS])])]


def hybrid(by_name):
    return [line(["one job in all three", "items a second"]), line(["---"] * 2), line(["hybrid", *row_of(by_name, ["hybrid"])])]


def models_markdown(report):
    by_name = {f["name"]: f for f in report["figures"]}
    return "\n".join([*models(by_name), "", *mixed(by_name), "", *hybrid(by_name)])


def markdown(report):
    by_name = {f["name"]: f for f in report["figures"]}
    rows = [line(["measure", "target", "limit", "measured: median (least - most)", "of the limit", "reached"]), line(["---"] * 6)]
    rows += [line(target_row(t, by_name.get(t.figure))) for t in TARGETS]
    return "\n".join([*rows, "", *models(by_name)])
