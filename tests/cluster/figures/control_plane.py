"""Figures of the operator against a control plane alone: no node, and Jobs are played by a stub."""

import copy
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from audit import Log, refills, split
from client import EXPERIMENTS, JOBS, TRIALS
from node import first_job_times
from objects import completed, experiment, size, until
from stub import Stub
from table import costs, percentiles, row

SPACE = "default"
ENDED = 10_000
POINTS = 256


class Operator:
    """The program `automl operator` on this machine, as it is in the image."""

    def __init__(self, program, run):
        self.program, self.run = program, run
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]

    def start(self):
        environment = {**os.environ, "KUBECONFIG": f"{self.run}/kubeconfig-outside"}
        with open(f"{self.run}/log/operator.log", "ab") as log:
            self.started = time.time()
            command = [self.program, "operator", f"--listen=127.0.0.1:{self.port}"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def is_ready(self):
        """It has seen what there is, and may write."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    def memory(self, field):
        """VmRSS or VmHWM, in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 1000


def stubbed(cluster, log, stub, count=2000, parallel=100):
    """Trials whose programs take no time."""
    log.mark(time.time())
    cluster.create(EXPERIMENTS.format(SPACE), experiment("stub", count, parallel, "true"))
    completed(cluster, SPACE, "stub", stub.failures)
    requests = log.of_operator()
    creates = [each for each in requests if (each.verb, each.resource, each.dry) == ("create", "jobs", False)]
    ends = {each.name: each.done for each in log.all(verb="patch", resource="jobs/status", agent="figures")}
    first = min(each.received for each in creates)
    pace = count / (max(ends.values()) - first)
    row(f"trials a second, {count:,}, {parallel} at a time, Jobs and reports played by a stub", f"{pace:.1f}")
    times = refills(ends.values(), [each.received for each in creates], parallel)
    percentiles("  a slot's refill: Job's end written -> next Job's request, p50, p99", times)
    costs(requests, count)


def many(cluster):
    """An Experiment with ended Trials whose curves have all the points that are kept, made of one that the operator made."""
    pattern = cluster.get(f"{TRIALS.format(SPACE)}/stub-00000")
    owner = cluster.create(EXPERIMENTS.format(SPACE), experiment("many", ENDED + 10, 1, "true"))
    status = pattern["status"]
    (metric,) = status["metrics"]
    points = [{"step": step, "value": 0.5 + step / 7000} for step in range(POINTS)]
    metric["count"], metric["curve"] = POINTS, {"arrived": POINTS, "stride": 1, "points": points}
    labels = pattern["metadata"].get("labels", {})
    owners = [{**each, "name": "many", "uid": owner["metadata"]["uid"]} for each in pattern["metadata"]["ownerReferences"]]

    def make(index):
        trial = {key: copy.deepcopy(pattern[key]) for key in ("apiVersion", "kind", "spec")}
        trial["metadata"] = {
            "name": f"many-{index:05}",
            "labels": {key: renamed(key, text, index, owner) for key, text in labels.items()},
            "ownerReferences": owners,
        }
        trial["spec"].update(experiment="many", index=index)
        cluster.create(TRIALS.format(SPACE), trial)
        cluster.merge(f"{TRIALS.format(SPACE)}/many-{index:05}/status", {"status": status})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, range(ENDED)))
    return cluster.get(f"{TRIALS.format(SPACE)}/many-00000")


def renamed(key, text, index, owner):
    return {
        "automl.dev/experiment": "many",
        "automl.dev/experiment-uid": owner["metadata"]["uid"],
        "automl.dev/trial": f"many-{index:05}",
        "automl.dev/index": str(index),
    }.get(key, text)


def memory_and_restart(cluster, log, operator, stub):
    biggest = many(cluster)
    row(f"a Trial whose curve has all {POINTS} points", f"{size(biggest) / 1000:.1f} kB")
    log.mark(time.time())
    operator.start()
    first = until("a Trial is made", lambda: log.of_operator(verb="create", resource="trials", code=201), timeout=300)
    row(f"start -> first new Trial, with {ENDED:,} ended Trials", f"{first[0].received - operator.started:.2f} s", "< 2 s")
    completed(cluster, SPACE, "many", stub.failures)
    now, most = operator.memory("VmRSS"), operator.memory("VmHWM")
    row(f"resident memory with {ENDED:,} such Trials: now, at most", f"{now:.1f} MB, {most:.1f} MB", "< 100 MB")


def at_rest(cluster, log, seconds):
    until("all Jobs are gone", lambda: not cluster.get(JOBS.format(SPACE))["items"], pause=0.5)
    time.sleep(5)
    log.mark(time.time())
    time.sleep(seconds)
    requests = log.of_operator()
    row(f"writes in {seconds} s at rest, with {ENDED:,} Trials", str(len(split(requests)[0])), "0")
    row("  reads in that time, open watches left out", str(sum(each.verb in ("get", "list") for each in requests)))


def main(cluster, run, program):
    part = pathlib.Path(__file__).parent.parent / "part.sh"
    # What is left is the operator, the API server and its store; nobody but the stub writes a Job's status.
    for name in ("kube-controller-manager", "kube-scheduler"):
        subprocess.run([part, run, "stop", name], check=True)
    log = Log(f"{run}/log/audit.log")
    operator = Operator(program, run)
    operator.start()
    try:
        # The first Experiment is not to wait for the operator's start.
        until("the operator is ready", operator.is_ready)
        stub = Stub(cluster, SPACE, operator.port)
        times = first_job_times(cluster, log, SPACE, 50)
        percentiles("Experiment applied -> its first Job created, p50, p99", times, "p50 < 300 ms")
        stubbed(cluster, log, stub)
        operator.stop()
        memory_and_restart(cluster, log, operator, stub)
        at_rest(cluster, log, 60)
    finally:
        operator.stop()
