"""What was asked of the API server, by its audit log: one line for each finished request, with times in microseconds."""

import json
import os
from collections import namedtuple
from datetime import datetime

WRITES = ("create", "update", "patch", "delete", "deletecollection")

# received and done are seconds since the epoch; resource has its subresource behind a slash.
Request = namedtuple("Request", "verb resource namespace name user agent code received done dry")


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def requests(path, offset=0):
    """Requests for resources, by the time of their end, from this byte on."""
    with open(path, "rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return  # it is being written
            event = json.loads(line)
            of = event.get("objectRef")
            if of is None:
                continue
            yield Request(
                event["verb"],
                "/".join(filter(None, (of["resource"], of.get("subresource")))),
                of.get("namespace", ""),
                of.get("name", ""),
                event["user"]["username"],
                event.get("userAgent", ""),
                event.get("responseStatus", {}).get("code", 0),
                seconds(event["requestReceivedTimestamp"]),
                seconds(event["stageTimestamp"]),
                "dryRun=" in event["requestURI"],
            )


class Log:
    """The part of the log from now on."""

    def __init__(self, path):
        self.path = path
        self.since, self.offset = 0.0, 0

    def mark(self, time):
        """From here on: a request counts that was received later."""
        self.since, self.offset = time, os.path.getsize(self.path)

    def all(self, **fields):
        """Requests received since the mark that are so; a field's value may be a tuple of several."""
        for request in requests(self.path, self.offset):
            wanted = all(
                getattr(request, field) in (value if isinstance(value, tuple) else (value,))
                for field, value in fields.items()
            )
            if wanted and request.received >= self.since:
                yield request

    def of_operator(self, **fields):
        return [each for each in self.all(**fields) if each.agent.startswith("automl-operator/")]


def split(requests):
    """Writes and reads. What holds the Lease is no trial's; a TokenReview is created, but stores nothing, and a dry run does
    not either."""
    ours = [each for each in requests if each.resource != "leases"]
    writes = [each for each in ours if each.verb in WRITES and not each.dry and each.resource != "tokenreviews"]
    reads = [each for each in ours if each.verb in ("get", "list") or each.resource == "tokenreviews" or each.dry]
    return writes, reads


def refills(ends, creates, slots):
    """From the end of a trial, as written, until the request for the Job that takes its place. `ends` and `creates` are times;
    the first `slots` Jobs replace nobody."""
    return [create - end for end, create in zip(sorted(ends), sorted(creates)[slots:])]


def own_parts(ends, creates, slots, requests):
    """Of each refill the time in which no request of the operator about the trial that ended, or the one that follows, was
    being answered: that is the operator's own, with what it takes to hear of the end. `ends` and `creates` are (time, name
    of the Job), `requests` the operator's."""
    parts = []
    for (end, ended), (create, follows) in zip(sorted(ends), sorted(creates)[slots:]):
        about = sorted((each.received, each.done) for each in requests if each.name in (ended, follows))
        own, since = 0.0, end
        for received, done in about:
            if end < done and received < create:
                own += max(0.0, received - since)
                since = max(since, min(done, create))
        parts.append(own + create - since)
    return parts
