#!/usr/bin/env python3
"""Experiments that ask a real Prometheus about real trials: examples/metrics/gpu.yaml with a small exporter that plays DCGM's, and one
whose objective nobody knows but the Prometheus that scrapes the program.

  tests/observability/query.py AUTOML     AUTOML is the program `automl`
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import urllib.request

import live
from live import ROOT, free_port, get

MINE, THEIRS = 40, 1000


class Dcgm(http.server.BaseHTTPRequestHandler):
    """A GPU for each pod there is, and one of the same pod's name in another namespace, which is nobody's business."""

    pods = staticmethod(list)

    def do_GET(self):
        lines = []
        for pod in self.pods():
            for namespace, value in (("default", MINE), ("other", THEIRS)):
                for at, gpu in enumerate(("UTIL", "FB")):
                    name = {"UTIL": "DCGM_FI_DEV_GPU_UTIL", "FB": "DCGM_FI_DEV_FB_USED"}[gpu]
                    lines.append(f'{name}{{gpu="0",pod="{pod}",namespace="{namespace}"}} {value + at}\n')
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("".join(lines).encode())

    def log_message(self, *_):
        pass


class Bench(live.Bench):
    patience = 150

    def begin(self, automl):
        folder, dcgm, prometheus, self.program = self.folder, free_port(), free_port(), free_port()
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": "dcgm", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{dcgm}"]}]},
                {"job_name": "trials", "static_configs": [{"targets": [f"127.0.0.1:{self.program}"], "labels": {"namespace": "default"}}]},
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.start("prometheus", [
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ])
        self.until("Prometheus", lambda: get(f"http://127.0.0.1:{prometheus}/-/ready"))
        self.start("automl", [
            automl, "local", "--state-dir", folder / "state", "--gpus", "1",
            "--prometheus-url", f"http://127.0.0.1:{prometheus}", "--prometheus-namespace-label", "namespace",
        ], ROOT / "examples/metrics")
        self.until("the kubeconfig", lambda: (folder / "state/kubeconfig").read_text())
        Dcgm.pods = staticmethod(lambda: [pod["metadata"]["name"] for pod in self.list("api/v1", "pods")])
        threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", dcgm), Dcgm).serve_forever, daemon=True).start()
        up = f"http://127.0.0.1:{prometheus}/api/v1/query?query=up%7Bjob%3D%22dcgm%22%7D%3D%3D1"
        self.until("the first scrape", lambda: json.loads(get(up))["data"]["result"])

    def resources(self, group, kind):
        return f"{self.api()}/{group if group.startswith('api/') else 'apis/' + group}/namespaces/default/{kind}"

    def list(self, group, kind):
        return json.loads(get(self.resources(group, kind)))["items"]

    def apply(self, text):
        url = self.resources("automl.dev/v1alpha1", "experiments")
        name = re.search(r"^  name: (\S+)$", text, re.M)[1]
        request = urllib.request.Request(f"{url}/{name}?fieldManager=test", text.encode(), {"Content-Type": "application/apply-patch+yaml"}, method="PATCH")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status in (200, 201)
        return name

    def ended(self, name):
        """The Experiment's status once it has ended, and those of its Trials."""
        def look():
            experiments = self.list("automl.dev/v1alpha1", "experiments")
            status = next(one for one in experiments if one["metadata"]["name"] == name).get("status", {})
            over = {c["type"]: c for c in status.get("conditions", []) if c["type"] in ("Complete", "Failed") and c["status"] == "True"}
            return over and (status, [one["status"] for one in self.list("automl.dev/v1alpha1", "trials") if one["spec"]["experiment"] == name])
        return self.until(f"the end of {name}", look)


def summary(trial, metric):
    return next((one for one in trial.get("metrics", []) if one["name"] == metric), None)


def check(holds, what, about):
    if not holds:
        sys.exit(f"query.py: {what}: {json.dumps(about)}")


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="automl-query."))
    bench = Bench(folder)
    try:
        bench.begin(pathlib.Path(sys.argv[1]).resolve())
        gpu = bench.apply((ROOT / "examples/metrics/gpu.yaml").read_text())
        status, trials = bench.ended(gpu)
        check(status["trials"].get("succeeded") == 3, "three trials succeed", status)
        for trial in trials:
            check(summary(trial, "height")["count"] == 20, "what the program prints is read", trial)
            for metric, value in (("gpu_util", MINE), ("gpu_memory_mb", MINE + 1)):
                found = summary(trial, metric)
                check(found and found["latest"] == found["max"] == value, f"{metric} of the trial's own pod and namespace", trial)
            check("trouble" not in trial, "all could be read", trial)

        # Nobody but Prometheus knows the height; the last that it scraped is asked for once more at the end.
        text = (ROOT / "examples/metrics/gpu.yaml").read_text()
        text = text.replace("metrics-gpu", "asked").replace("--say=sentences", f'--say=prometheus, "--where={bench.program}"')
        text = text.replace("additionalMetrics: [gpu_util, gpu_memory_mb]", "additionalMetrics: [gpu_util]").replace("maxTrials: 3", "maxTrials: 1")
        text = re.sub(r"- metric: gpu_memory_mb\n.*\n", """- metric: height
            query: min(last_over_time(height{valley="rosenbrock"}[2m]))
          - metric: step
            query: max(last_over_time(step[2m]))
""", text)
        asked = bench.apply(text)
        status, trials = bench.ended(asked)
        check(status["trials"].get("succeeded") == 1, "the objective is what Prometheus says", (status, trials))
        found = summary(trials[0], "height")
        check(found["latestStep"] >= 5 and found["latest"] == trials[0]["objective"], "the last value that was scraped counts", trials[0])

        # A query that gives more than one number, and one that names another namespace's series.
        text = text.replace("name: asked", "name: wrong").replace("min(last_over_time(height", '(last_over_time(DCGM_FI_DEV_GPU_UTIL{namespace="other"}[2m]) or last_over_time(height')
        text = text.replace('valley="rosenbrock"', 'valley="another"')
        wrong = bench.apply(text)
        status, trials = bench.ended(wrong)
        sentence = next(c["message"] for c in trials[0]["conditions"] if c["type"] == "Failed")
        check("height was never read: height: Prometheus knows no such series" in sentence, "a sentence says why", trials[0])
        check(not summary(trials[0], "height"), "nothing of another namespace is seen", trials[0])
    except BaseException:
        print(f"query.py: see {folder}", file=sys.stderr)
        bench.stop()
        raise
    bench.stop()
    shutil.rmtree(folder)
    print("query.py: a real Prometheus was asked about real trials")


if __name__ == "__main__":
    os.environ.pop("KUBECONFIG", None)
    main()
