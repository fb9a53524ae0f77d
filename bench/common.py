"""What the drivers of bench/ share: how figures are written, and what is said of the machine."""

import os
import resource
import sys


def human(value, unit):
    """A value in the unit that suits its size."""
    if value is None:
        return ""
    if unit == "ns":
        for scale, name in ((1e9, "s"), (1e6, "ms"), (1e4, "us")):
            if abs(value) >= scale:
                return three(value / (scale if name != "us" else 1e3)) + " " + name
        return three(value) + " ns"
    if unit == "bytes":
        for scale, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if abs(value) >= scale:
                return three(value / scale) + " " + name
        return three(value) + " B"
    if unit == "times":
        return "{:.2f}".format(value)
    return "{:,.0f}".format(value)


def three(value):
    """Three digits, or all digits of the integer part; at most four decimals."""
    size = abs(value)
    return "{:.{}f}".format(value, 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 4)


def cpu_of_children():
    """CPU seconds of all children that have been reaped."""
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def first_line(text):
    return (text.strip().splitlines() or ["no message"])[0][:200]


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1][:200]


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo") as f:
        for l in f:
            if l.startswith("model name"):
                model = l.split(":", 1)[1].strip()
                break
    with open("/proc/loadavg") as f:
        load = f.read().split()[0]
    return "{}, {} CPUs, Linux {}, load {} at the start".format(
        model, len(os.sched_getaffinity(0)), os.uname().release, load)
