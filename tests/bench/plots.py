"""plots.py - the curves of bench.json, and the bars of bench-models.json, as SVG, drawn by gnuplot."""

import shutil
import subprocess

import targets

# Of each curve: the file, what gnuplot is told, and the columns beside x.
PLOTS = {
    "backlog": ("bench-backlog.svg", """set title "Rate against backlog"
set xlabel "jobs that wait (none: drawn at 1)"
set ylabel "jobs a second"
set logscale x
set yrange [0:*]
set format x "10^{%T}"
""", "jobs", {"drain": "drained on top of them (B3, threads)", "submit": "submitted (B2)"}),
    "load": ("bench-latency.svg", """set title "Latency against load"
set xlabel "jobs a second"
set ylabel "until the handler starts, microseconds"
set logscale xy
set format y "10^{%T}"
""", "rate", {"p50_us": "median", "p99_us": "99 %"}),
}


def script(name, points, path):
    _, settings, x, columns = PLOTS[name]
    lines, data = [], []
    for column, label in columns.items():
        lines.append(f"'-' using 1:2 with linespoints title '{label}'")
        data.append("".join(f"{max(point[x], 1)} {point[column]}\n" for point in points) + "e\n")
    head = f'set terminal svg size 800,480 background "white"\nset output "{path}"\nset grid\nset key left\n{settings}'
    return head + "plot " + ", ".join(lines) + "\n" + "".join(data)


GNUPLOT_MISSING = "no plots: gnuplot is not installed (contrib/install-deps --bench)"
BARS = """set terminal svg size 900,760 background "white"
set output "{path}"
set multiplot layout 2,1
set style data histogram
set style fill solid 0.8 border -1
set boxwidth 0.9
set grid ytics
set key outside right top
set ylabel "jobs a second"
set logscale y
set yrange [1:*]
set format y "10^{{%T}}"
"""


def bars(title, rows, heads, settings=""):
    """rows: {label: values}; a cluster a row, a bar a head."""
    data = "".join(f'"{label}" ' + " ".join(f"{v:g}" for v in values) + "\n" for label, values in rows.items())
    plots = ", ".join(f"$bars using {i + 2}:xtic(1) title '{head}'" for i, head in enumerate(heads))
    return f"$bars << EOD\n{data}EOD\nset title \"{title}\"\n{settings}plot {plots}\n"


def models_script(of, path):
    """None where not all of it was measured."""
    rows = {load: [of.get(f"B8 {load}, {pool}") for pool in targets.POOLS] for load in targets.LOADS}
    mixed = {way: [of.get(f"mixed, {way}")] for way in targets.WAYS}
    if None in [v for values in [*rows.values(), *mixed.values()] for v in values]:
        return None
    linear = "unset logscale y\nset format y\nset yrange [0:*]\n"
    return (BARS.format(path=path) + bars("Each kind of work in each pool", rows, targets.POOLS) +
            bars("All kinds at once, by tag", mixed, ["mixed"], linear) + "unset multiplot\n")


def draw_models(figures, directory):
    path = f"{directory}/bench-models.svg"
    text = models_script({f["name"]: f["median"] for f in figures}, path)
    if text is None:
        return ["no plot: not all was measured"]
    if not shutil.which("gnuplot"):
        return [GNUPLOT_MISSING]
    p = subprocess.run(["gnuplot"], input=text, capture_output=True, text=True, check=False)
    return [f"plot: {path}" if p.returncode == 0 else f"no plot: gnuplot: {p.stderr.strip()}"]


def draw(curves, directory):
    """What was drawn, or why not: lines for people."""
    if curves and not shutil.which("gnuplot"):
        return [GNUPLOT_MISSING]
    said = []
    for name, points in curves.items():
        path = f"{directory}/{PLOTS[name][0]}"
        p = subprocess.run(["gnuplot"], input=script(name, points, path), capture_output=True, text=True, check=False)
        said.append(f"plot: {path}" if p.returncode == 0 else f"no plot of {name}: gnuplot: {p.stderr.strip()}")
    return said
