"""Experiments, Jobs, and what is told of them."""

import copy
import json
import queue
import threading
import time

from client import EXPERIMENTS, JOBS

IMAGE = "localhost/automl-test/busybox:1"


def experiment(name, trials, parallel, script, more=None):
    """One of `trials` trials that run a shell script."""
    return {
        "apiVersion": "automl.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0, "max": 1}}, {"name": "n", "int": {"min": 1, "max": 9}}],
            "algorithm": {"name": "Random", "seed": 1},
            "limits": {"maxTrials": trials, "parallelTrials": parallel},
            "trialTemplate": {
                "primaryContainer": "train",
                "manifest": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod(script)}}},
            },
            **(more or {}),
        },
    }


def pod(script):
    container = {"name": "train", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]}


def plain(name, script):
    """The Job that an experiment's manifest describes, as one would write it without an operator."""
    spec = {"backoffLimit": 0, "template": {"spec": pod(script)}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def like(job, name, report_url):
    """A Job whose pods are those of one that the operator made, agent included, but report elsewhere, so that they can be run
    without an operator. No label of ours is on the Job: it is none of the operator's."""
    spec = copy.deepcopy(job["spec"])
    for field in ("selector", "suspend", "manualSelector"):
        spec.pop(field, None)
    labels = spec["template"]["metadata"].get("labels", {})
    spec["template"]["metadata"] = {"labels": {key: text for key, text in labels.items() if "automl.dev/" in key}}
    for container in spec["template"]["spec"]["initContainers"] + spec["template"]["spec"]["containers"]:
        for variable in container.get("env", []):
            if variable["name"] == "AUTOML_REPORT_URL":
                variable["value"] = report_url
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def condition(item, kind):
    found = [each for each in item.get("status", {}).get("conditions", []) if each["type"] == kind]
    return bool(found) and found[0]["status"] == "True"


class Jobs:
    """Follows the Jobs of a namespace, and says when each has ended."""

    def __init__(self, cluster, namespace):
        self.ended = queue.Queue()  # (name, time, whether it succeeded)
        self.created = queue.Queue()  # the object
        version = cluster.get(JOBS.format(namespace), limit=1)["metadata"]["resourceVersion"]
        events = cluster.watch(JOBS.format(namespace), version)
        threading.Thread(target=self.follow, args=(events,), daemon=True).start()

    def follow(self, events):
        seen = set()
        for kind, job in events:
            name = job["metadata"]["name"]
            if kind == "ADDED":
                self.created.put(job)
            succeeded = condition(job, "Complete")
            if name not in seen and (succeeded or condition(job, "Failed")):
                seen.add(name)
                self.ended.put((name, time.time(), succeeded))

    def await_end(self, timeout=300):
        name, when, succeeded = self.ended.get(timeout=timeout)
        if not succeeded:
            raise RuntimeError(f"Job {name} has failed")
        return name, when


def until(what, look, timeout=180, pause=0.02):
    """The first answer of `look` that says something."""
    deadline = time.time() + timeout
    while not (found := look()):
        if time.time() > deadline:
            raise RuntimeError(f"it does not come true: {what}")
        time.sleep(pause)
    return found


def completed(cluster, namespace, name, failures=()):
    """The Experiment, once it is complete, unless something has failed meanwhile."""
    path = f"{EXPERIMENTS.format(namespace)}/{name}"

    def look():
        if failures:
            raise RuntimeError("; ".join(failures[:5]))
        found = cluster.get(path)
        return found if condition(found, "Complete") else None

    return until(f"{name} is complete", look, timeout=1200, pause=0.1)


def size(item):
    """Bytes of an object as JSON, which is how it is stored for kinds like ours."""
    return len(json.dumps(item, separators=(",", ":")))
