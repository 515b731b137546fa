"""machine.py - what the figures were measured on."""

import os
import platform
import sqlite3
import time


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(directory):
    """Type and device of the mount that holds it."""
    best, found = "", ("unknown", "unknown")
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            left, right = line.split(" - ", 1)
            point = left.split()[4]
            inside = point == "/" or directory == point or directory.startswith(point + "/")
            if inside and len(point) >= len(best):
                best, found = point, tuple(right.split()[:2])
    return found


def describe(directory):
    kind, device = file_system(os.path.realpath(directory))
    return {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(), "sqlite": sqlite3.sqlite_version,
            "file_system": kind, "device": device, "directory": os.path.dirname(directory),
            "load": round(os.getloadavg()[0], 2), "nice": os.nice(0)}


def warnings(about):
    if about["file_system"] in ("tmpfs", "ramfs", "overlay"):
        yield f"{about['directory']} is on {about['file_system']}: set TMPDIR to a directory on a disk"
    if about["load"] > 0.5:
        yield f"the machine is busy (load {about['load']}): the figures are lower than on an idle one"


def line(about):
    return (f"{about['cores']} cores, {about['cpu']}; {about['file_system']} on {about['device']} ({about['directory']}); "
            f"Linux {about['kernel']}, SQLite {about['sqlite']}; load before {about['load']}, nice {about['nice']}")
