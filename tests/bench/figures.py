"""figures.py - what was measured: medians, ranges, ratios to their limits; as a table and as JSON."""

import statistics

UNITS = {"/s": "{:,.0f} /s", "us": "{:,.1f} us", "ms": "{:,.1f} ms", "s": "{:,.1f} s", "MiB": "{:,.1f} MiB",
         "B/job": "{:,.0f} B/job", "%": "{:,.1f} %"}


class Figures:
    """Values by name, in the order they first came, one for each repeat."""

    def __init__(self):
        self.of = {}

    def add(self, name, value, unit, better, limits=()):
        """limits: names of what it cannot be better than. The first is the bare one; the times of several, joined by +, add up."""
        f = self.of.setdefault(name, {"name": name, "unit": unit, "better": better, "limits": list(limits), "values": []})
        f["values"].append(value)

    def median(self, name):
        return statistics.median(self.of[name]["values"]) if name in self.of else None

    def limit(self, name):
        """Of a name as add takes it: of times their sum, of rates the rate of one after the other."""
        parts = [self.median(part) for part in name.split("+")]
        if None in parts:
            return None
        if self.of[name.split("+")[0]]["unit"] == "us":
            return sum(parts)
        return 1 / sum(1 / part for part in parts)

    def as_json(self):
        return [self.one(f) for f in self.of.values()]

    def one(self, f):
        values, middle = f["values"], statistics.median(f["values"])
        limits = []
        for name in f["limits"]:
            limit = self.limit(name)
            if limit:
                limits.append({"name": name, "value": round(limit, 3), "ratio": round(middle / limit, 4)})
        return {"name": f["name"], "unit": f["unit"], "better": f["better"], "median": round(middle, 3),
                "min": round(min(values), 3), "max": round(max(values), 3), "values": [round(v, 3) for v in values],
                "limits": limits}


def form(figure):
    return UNITS.get(figure["unit"], "{:,.1f} " + figure["unit"])


def text(figure):
    return form(figure).format(figure["median"]) if figure else "-"


def span(figure):
    number = form(figure).split(" ")[0]
    return number.format(figure["min"]) + " - " + number.format(figure["max"])


def ratio(figure, limit):
    return f"{limit['ratio']:.2f} x" if figure["unit"] == "us" else f"{limit['ratio'] * 100:.1f} %"


def row(figure):
    cells = []
    for limit in figure["limits"]:
        cells += [ratio(figure, limit), "of " + limit["name"].replace("limit ", "")]
    return [figure["name"], text(figure), span(figure)] + (cells + [""] * 4)[:4]


def columns(rows):
    """The first column and those of names to the left, the others to the right."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for r in rows:
        cells = [c.ljust(w) if i == 0 or c.startswith("of ") else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def table(figures):
    """The measures, and below them the limits."""
    ordered = sorted(figures, key=lambda f: f["name"].startswith("limit "))
    return columns([["", "median", "min - max", "", "", "", ""]] + [row(f) for f in ordered])
