#!/usr/bin/env python3
"""Somebody else writes an Experiment and its Trials all the time, as labelling tools do: the operator's own writes are refused now
and then, and nothing is lost by it.

  contention.py      with RUN and KUBECONFIG set, as with.sh sets them; the chart is installed
"""

import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent / "figures"))
from audit import Log
from client import EXPERIMENTS, TRIALS, Cluster
from objects import completed, experiment, until

SPACE = "automl-test-contention"
ROUNDS = 20
BEAT = "example.com/beat"


class Disturbance:
    """Threads that change an annotation of each object, one request after the other."""

    def __init__(self, cluster, name):
        self.cluster, self.ended = cluster, threading.Event()
        targets = (lambda: [f"{EXPERIMENTS.format(SPACE)}/{name}"], lambda: self.trials(name))
        self.threads = [threading.Thread(target=self.beat, args=(target,)) for target in targets]
        for thread in self.threads:
            thread.start()

    def trials(self, name):
        items = self.cluster.get(TRIALS.format(SPACE))["items"]
        return [f"{TRIALS.format(SPACE)}/{each['metadata']['name']}" for each in items if each["spec"]["experiment"] == name]

    def beat(self, paths):
        count = 0
        while not self.ended.is_set():
            for path in paths() * 10:
                count += 1
                self.cluster.merge(path, {"metadata": {"annotations": {BEAT: str(count)}}})

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def problems(cluster, name):
    found = cluster.get(f"{EXPERIMENTS.format(SPACE)}/{name}")
    if found["status"]["trials"]["succeeded"] != 2:
        yield f"{name}: {found['status']}"
    trials = [each for each in cluster.get(TRIALS.format(SPACE))["items"] if each["spec"]["experiment"] == name]
    for each in [found, *trials]:
        if not each["metadata"].get("annotations", {}).get(BEAT):
            yield f"{each['metadata']['name']}: what others wrote is gone"
    for each in trials:
        status = each["status"]
        if (status.get("attempt", 0), status.get("objective")) != (0, each["spec"]["assignments"]["x"]):
            yield f"{each['metadata']['name']}: {status}"


def refused(log):
    """How often a write of the operator was refused because somebody else had written before, by resource."""
    conflicts = [each.resource for each in log.of_operator(verb="patch", code=409)]
    return {resource: conflicts.count(resource) for resource in ("experiments/status", "trials/status")}


def main():
    cluster = Cluster(os.environ["KUBECONFIG"])
    log = Log(f"{os.environ['RUN']}/log/audit.log")
    cluster.create("/api/v1/namespaces", {"metadata": {"name": SPACE}})
    until("there is a ServiceAccount", lambda: cluster.find(f"/api/v1/namespaces/{SPACE}/serviceaccounts/default"))
    seen = {}
    for number in range(ROUNDS):
        name = f"round-{number}"
        cluster.create(EXPERIMENTS.format(SPACE), experiment(name, 2, 2, "echo accuracy=${params.x}"))
        disturbance = Disturbance(cluster, name)
        try:
            completed(cluster, SPACE, name)
        finally:
            disturbance.end()
        if found := list(problems(cluster, name)):
            sys.exit("contention.py: " + "\n".join(found))
        seen = refused(log)
        if all(seen.values()):
            break
    else:
        sys.exit(f"contention.py: in {ROUNDS} rounds no write of each kind was refused: {seen}")
    cluster.delete(f"/api/v1/namespaces/{SPACE}")
    print(f"contention.py: {number + 1} rounds; refused and written again: {seen}")


main()
