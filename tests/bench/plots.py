"""plots.py - the curves of bench.json as SVG, drawn by gnuplot."""

import shutil
import subprocess

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


def draw(curves, directory):
    """What was drawn, or why not: lines for people."""
    if curves and not shutil.which("gnuplot"):
        return ["no plots: gnuplot is not installed (contrib/install-deps --bench)"]
    said = []
    for name, points in curves.items():
        path = f"{directory}/{PLOTS[name][0]}"
        p = subprocess.run(["gnuplot"], input=script(name, points, path), capture_output=True, text=True, check=False)
        said.append(f"plot: {path}" if p.returncode == 0 else f"no plot of {name}: gnuplot: {p.stderr.strip()}")
    return said
