"""Plays kubelet and Job controller: each Job that appears gets a pod, reports as its agent would, and is complete."""

import http.client
import json
import queue
import threading
from datetime import datetime, timezone

from client import JOBS, PODS


def now():
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Stub:
    """Threads that play the Jobs of a namespace until the process ends."""

    def __init__(self, cluster, space, port, threads=4):
        self.cluster, self.space, self.port = cluster, space, port
        self.jobs = queue.Queue()
        self.failures = []
        version = cluster.get(JOBS.format(space), limit=1)["metadata"]["resourceVersion"]
        threading.Thread(target=self.follow, args=(version,), daemon=True).start()
        for _ in range(threads):
            threading.Thread(target=self.work, daemon=True).start()

    def follow(self, version):
        for kind, job in self.cluster.watch(JOBS.format(self.space), version):
            if kind == "ADDED":
                self.jobs.put(job)

    def work(self):
        while True:
            job = self.jobs.get()
            try:
                self.play(job)
            except Exception as error:  # whoever waits for the trials asks for it
                self.failures.append(f"{job['metadata']['name']}: {error!r}")

    def play(self, job):
        """What a whole trial asks of the API server and the operator, without any time in between."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
        spec = {"containers": [{"name": "train", "image": "none"}]}
        pod = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec}
        pod = self.cluster.create(PODS.format(self.space), pod)
        status = f"{JOBS.format(self.space)}/{name}/status"
        started = now()
        self.cluster.merge(status, {"status": {"active": 1, "ready": 1, "startTime": started}})
        self.report(job, self.token(pod))
        ended = now()
        conditions = [
            {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": ended}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        done = {"active": 0, "ready": 0, "succeeded": 1, "completionTime": ended, "conditions": conditions}
        self.cluster.merge(status, {"status": done})

    def token(self, pod):
        """As the kubelet gets one for the pod's volume."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": ["automl.dev/report"], "expirationSeconds": 3600, "boundObjectRef": bound},
        }  # fmt: skip
        path = f"/api/v1/namespaces/{self.space}/serviceaccounts/default/token"
        return self.cluster.create(path, request)["status"]["token"]

    def report(self, job, token):
        trial = job["metadata"]["ownerReferences"][0]
        value = {"metric": "accuracy", "step": 1, "value": 0.5, "time": now()}
        batch = {
            "namespace": self.space, "trial": trial["name"], "trialUid": trial["uid"], "attempt": 0,
            "session": f"{0:010}-{1:020}-{1:010}", "end": True,
            "records": [
                {"sequence": 1, "body": {"observation": value}},
                {"sequence": 2, "body": {"ended": {"exitCode": 0, "signal": None, "tail": ""}}},
            ],
        }  # fmt: skip
        # A connection of its own, as each pod has one.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/report", json.dumps(batch), headers)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
        connection.close()
        if answer.status != 200 or json.loads(said)["stored"] != 2:
            raise RuntimeError(f"the report's answer is {answer.status}: {said}")
