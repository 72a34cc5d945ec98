"""The table that is printed, a row as soon as it is known."""

from collections import Counter

from audit import split


def percentile(values, percent):
    """The smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def milliseconds(value):
    return f"{value * 1000:.0f} ms"


def row(what, value, goal=""):
    print(f"{what:<78} {value:>14}  {goal}".rstrip(), flush=True)


def percentiles(what, values, goal=""):
    """p50 and p99 of times in seconds."""
    if not values:
        row(what, "nothing seen", goal)
        return
    row(what, f"{milliseconds(percentile(values, 50))}, {milliseconds(percentile(values, 99))}", goal)


def costs(requests, trials):
    """What each of so many trials costs the API server."""
    writes, reads = split(requests)
    row("API writes a trial", f"{len(writes) / trials:.2f}", "<= 6")
    counts = Counter(f"{each.verb} {each.resource}" + (" (refused)" if each.code >= 400 else "") for each in writes)
    for what, count in counts.most_common():
        row(f"  {what}", f"{count / trials:.2f}")
    row("reads a trial (get, list, TokenReview)", f"{len(reads) / trials:.2f}")
