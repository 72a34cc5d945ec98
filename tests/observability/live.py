#!/usr/bin/env python3
"""Runs every query of the chart's dashboards against a real Prometheus that scrapes a real operator during a real experiment, and a
small exporter that plays the DCGM exporter of its trials. A query that returns nothing fails.

  tests/observability/live.py AUTOML     AUTOML is the program `automl`
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "charts/automl-operator/files"
# What Grafana puts in place of its variables.
FILLED = {"$namespace": ".*", "$experiment": ".*", "$trial": ".*", "$job": ".*", "$instance": ".*", "$__rate_interval": "15s", "$__range": "60s", "$price": "2.5"}
# US dollars an hour of the GPUs here.
PRICE = 3.2

PROGRAM = "for e in 1 2 3 4 5 6; do echo epoch=$e accuracy=$(awk -v e=$e -v x=$X 'BEGIN { print x * e / 6 }'); sleep 1; done"


def experiment(name, program, gpus=1, **spec):
    return {
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
            "parameters": [{"name": "x", "double": {"min": 0, "max": 1}}],
            "trialTemplate": {"primaryContainer": "train", "manifest": {
                "apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {
                    "restartPolicy": "Never", "containers": [{
                        "name": "train", "image": "busybox", "command": ["sh", "-c", program],
                        **({"resources": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}),
                    }],
                }}},
            }},
            **spec,
        },
    }


EXPERIMENTS = [
    experiment("search", PROGRAM, limits={"maxTrials": 1000, "parallelTrials": 2, "maxGpuHours": 10, "maxFailedTrials": 1000},
               algorithm={"name": "TPE"}, earlyStopping=[{"name": "Median", "settings": {"minTrials": 2}}]),
    experiment("fails", "sleep 2; exit 1", limits={"maxTrials": 1000, "parallelTrials": 1, "maxFailedTrials": 1000}, algorithm={"name": "Random"}),
]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


class Dcgm(http.server.BaseHTTPRequestHandler):
    """A GPU for each trial that runs, as the operator's own metrics name it; by turns with the labels of either convention. That of a
    trial called idle is idle."""

    metrics = ""

    def do_GET(self):
        trials = re.findall(r'automl_trial_info\{[^}]*job_name="([^"]+)"[^}]*namespace="([^"]+)"', get(self.metrics))
        lines = []
        for at, (job, namespace) in enumerate(trials):
            pod = f'pod="{job}-x7k2p",namespace="{namespace}"'
            if at % 2 == 0:
                pod = f'exported_pod="{job}-x7k2p",exported_namespace="{namespace}",pod="dcgm-1",namespace="gpu-operator"'
            labels = f'gpu="{at}",UUID="GPU-{at}",modelName="NVIDIA H100",{pod}'
            for name, value in (("GPU_UTIL", 1 if job.startswith("idle") else 80 + at), ("FB_USED", 20000 + at), ("POWER_USAGE", 400 + at), ("GPU_TEMP", 60 + at)):
                lines.append(f"DCGM_FI_DEV_{name}{{{labels}}} {value}\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("".join(lines).encode())

    def log_message(self, *_):
        pass


class Bench:
    patience = 100

    def __init__(self, folder):
        self.folder, self.children, self.named = folder, [], []

    def begin(self, automl, rules=FILES / "rules.yaml"):
        folder = self.folder
        self.walled = free_port()
        metrics, dcgm, prometheus = free_port(), free_port(), free_port()
        self.metrics, self.prometheus = f"http://127.0.0.1:{metrics}/metrics", f"http://127.0.0.1:{prometheus}"
        self.start("automl", [automl, "local", "--state-dir", folder / "state", "--metrics", f"127.0.0.1:{metrics}", "--gpus", "3", "--gpu-price", f"NVIDIA H100={PRICE}"])
        self.until("the operator's metrics", lambda: get(self.metrics))
        self.until("the kubeconfig", lambda: (folder / "state/kubeconfig").read_text())
        Dcgm.metrics = self.metrics
        threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", dcgm), Dcgm).serve_forever, daemon=True).start()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "automl", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]},
                {"job_name": "walled", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{self.walled}"]}]},
                {"job_name": "dcgm", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{dcgm}"]}]},
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.start("prometheus", [
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ])
        self.until("Prometheus", lambda: get(f"{self.prometheus}/-/ready"))

    def start(self, name, command, folder=None):
        log = (self.folder / f"{name}.log").open("w")
        command = [str(part) for part in command]
        self.children.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder or self.folder))
        self.named.append((name, self.children[-1]))

    def stop(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGINT if child is self.children[0] else signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()

    def until(self, what, try_it):
        end = time.time() + self.patience
        while True:
            try:
                found = try_it()
                if found:
                    return found
            except OSError:
                pass
            if time.time() > end:
                sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {what} did not come within {self.patience} s; see {self.folder}")
            time.sleep(0.3)

    def api(self):
        return re.search(r'server: "([^"]+)"', (self.folder / "state/kubeconfig").read_text())[1]

    def url(self, namespace, kind="experiments", group="automl.dev/v1alpha1"):
        return f"{self.api()}/apis/{group}/namespaces/{namespace}/{kind}"

    def apply(self, thing):
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url("default"), json.dumps(thing).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201

    def interrupt(self):
        """Deletes a Job, so that its trial begins anew."""
        jobs = json.loads(get(self.url("default", "jobs", "batch/v1")))["items"]
        for job in [job for job in jobs if job["metadata"]["name"].startswith("search-")][:1]:
            url = f"{self.url('default', 'jobs', 'batch/v1')}/{job['metadata']['name']}"
            urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).read()

    def ask(self, path, **parameters):
        answer = json.loads(get(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        return answer["data"]


def filled(text):
    for name, value in FILLED.items():
        text = text.replace(name, value)
    return text


def queries():
    """What each panel and each variable asks: (name, function of a bench that returns what came)."""
    for path in sorted((FILES / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", filled(variable["definition"])).groups()
                yield (path.stem, f"variable {variable['name']}", 0), lambda bench, m=metric, n=label: bench.ask(f"label/{n}/values", **{"match[]": m})
        for panel in board["panels"]:
            for at, target in enumerate(panel.get("targets", [])):
                expression = filled(target["expr"])
                if target["instant"]:
                    yield (path.stem, panel["title"], at), lambda bench, e=expression: bench.ask("query", query=e)["result"]
                else:
                    yield (path.stem, panel["title"], at), lambda bench, e=expression: bench.ask(
                        "query_range", query=e, start=time.time() - 60, end=time.time(), step=2)["result"]


def cost_is_by_model(bench):
    """All GPUs here are of one model, whose price was said, and not of the one that stands for others."""
    board = json.loads((FILES / "dashboards/gpus.json").read_text())
    cost = next(panel for panel in board["panels"] if panel["title"] == "Cost")["targets"][0]["expr"]
    asked = filled(cost.replace("$experiment", "search"))
    hours = 'sum(automl_experiment_gpu_seconds_used{experiment="search"}) / 3600'
    result = bench.ask("query", query=f"abs(({asked}) / ({hours}) - {PRICE}) < bool 1e-6")["result"]
    return [one["value"][1] for one in result] == ["1"]


# What happens in this experiment, so that a flat line of zeros is wrong.
MOVES = {"Stopped early by rule", "Trials by state", "Ended trials by reason", "Passes", "Suggestions", "Batches"}


def numbers(result, moves=False):
    """Whether there is a number in what came that is one; where something `moves`, one above zero."""
    def series(one):
        if isinstance(one, str):
            return [one]
        return [value for _, value in one.get("values", [one.get("value", (0, "NaN"))])]
    good = (lambda value: value != "NaN" and float(value) > 0) if moves else (lambda value: value != "NaN")
    return any(good(value) for one in result for value in series(one))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="automl-observability."))
    bench = Bench(folder)
    try:
        bench.begin(pathlib.Path(sys.argv[1]).resolve())
        for one in EXPERIMENTS:
            bench.apply(one)
        open_ones, begun = dict(queries()), time.time()
        count = len(open_ones)
        applied = []
        while open_ones and time.time() < begun + bench.patience:
            # What happens once an Experiment must happen while Prometheus looks.
            bench.apply(experiment(f"short-{len(applied)}", "echo accuracy=1", limits={"maxTrials": 1}))
            applied.append(time.time())
            if len(applied) > 5 and len(applied) % 3 == 0:
                bench.interrupt()
            for name, ask in list(open_ones.items()):
                if numbers(ask(bench), name[1] in MOVES):
                    del open_ones[name]
            time.sleep(2)
        page = subprocess.run(["promtool", "check", "metrics"], input=get(bench.metrics), text=True, capture_output=True)
        unhealthy = [rule["name"] for group in bench.ask("rules")["groups"] for rule in group["rules"] if rule["health"] != "ok"]
        problems = [f"nothing came for {board}, {title}, query {at + 1}" for board, title, at in open_ones]
        problems += [] if cost_is_by_model(bench) else ["Cost is not what GPUs of their model cost"]
        problems += [f"promtool check metrics: {page.stdout}{page.stderr}"] if page.returncode or page.stderr else []
        problems += [f"rule {name} does not work" for name in unhealthy]
    finally:
        bench.stop()
    if problems:
        sys.exit("live.py: " + "\n".join(problems) + f"\nlive.py: logs are in {folder}")
    shutil.rmtree(folder)
    print(f"live.py: {count} queries of panels and variables return data, after {time.time() - begun:.0f} s")


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
