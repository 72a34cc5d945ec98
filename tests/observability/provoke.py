#!/usr/bin/env python3
"""Provokes each alert of the chart for real: makes the fault on a running operator, and waits until a real Prometheus, with the rules of
the chart at a shorter time scale, fires the alert for the object that it was made for. Before each fault the alert must be silent.

  tests/observability/provoke.py AUTOML     AUTOML is the program `automl`
"""

import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import live

# Hours and minutes of the rules become seconds; what they compare stays as it is. Each text must be there.
SHORTER = {
    "for: 30m": "for: 2s", "for: 15m": "for: 2s", "for: 10m": "for: 2s", "for: 5m": "for: 2s", "for: 1m": "for: 1s",
    "[10m]": "[10s]", "[1h]": "[60s]", "> 3600": "> 8", "> 600": "> 20",
}


def shortened(rules):
    for text, shorter in SHORTER.items():
        assert text in rules, f"{text} is not in the rules any more"
        rules = rules.replace(text, shorter)
    return rules


class Wall(http.server.BaseHTTPRequestHandler):
    """Stands between a second operator and the API server: lets reads through, refuses writes, and freezes when told to."""

    server_address = ""
    frozen = threading.Event()
    protocol_version = "HTTP/1.0"

    def thawed(self):
        while self.frozen.is_set():
            time.sleep(0.2)

    def do_GET(self):
        self.thawed()
        there = http.client.HTTPConnection(self.server_address, timeout=400)
        there.request("GET", self.path, headers=dict(self.headers))
        answer = there.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.end_headers()
        try:
            while part := answer.read1(65536):
                self.thawed()
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:
            pass  # whoever asked is gone

    def refuse(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "a wall"}
        body = json.dumps(status).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_PUT = do_DELETE = refuse

    def log_message(self, *_):
        pass


class Bench(live.Bench):
    def firing(self, alert, **labels):
        found = [one for one in self.ask("alerts")["alerts"] if one["state"] == "firing" and one["labels"]["alertname"] == alert]
        return [one for one in found if labels.items() <= one["labels"].items()]

    def provoke(self, alert, fault, **labels):
        """Makes the fault, and waits for the alert with these labels."""
        assert not self.firing(alert, **labels), f"{alert} fires without a fault"
        fault()
        begun = time.time()
        fired = self.until(f"{alert} {labels}", lambda: self.firing(alert, **labels))
        for text in (fired[0]["annotations"]["summary"], fired[0]["annotations"]["description"]):
            assert text and "{{" not in text and "<no value>" not in text, text
        print(f"provoke.py: {alert} fires after {time.time() - begun:.0f} s: {fired[0]['annotations']['summary']}", flush=True)

    def patch(self, name, change):
        headers = {"Content-Type": "application/merge-patch+json"}
        request = urllib.request.Request(f"{self.url('default')}/{name}", json.dumps(change).encode(), headers, method="PATCH")
        urllib.request.urlopen(request, timeout=10).read()

    def number(self, query):
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def second(self, automl):
        """Another operator, behind the wall, scraped as job `walled`."""
        address = urllib.parse.urlsplit(self.api()).netloc
        Wall.server_address = address
        wall = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wall)
        wall.daemon_threads = True
        threading.Thread(target=wall.serve_forever, daemon=True).start()
        text = (self.folder / "state/kubeconfig").read_text().replace(address, f"127.0.0.1:{wall.server_port}")
        (self.folder / "walled").write_text(text)
        os.environ["KUBECONFIG"] = str(self.folder / "walled")
        self.start("operator", [automl, "operator", "--namespace", "default", "--listen", f"127.0.0.1:{live.free_port()}",
                                "--metrics-address", f"127.0.0.1:{self.walled}"])  # fmt: skip


def budget(bench):
    """Lets an Experiment use GPU time, suspends it, and lowers its limit to a little more than that."""
    used = 'automl_experiment_gpu_seconds_used{experiment="budget"}'
    bench.until("GPU time of budget", lambda: bench.number(used) >= 4)
    bench.patch("budget", {"spec": {"suspend": True}})
    running = 'sum(automl_experiment_trials{experiment="budget",state=~"running|pending"})'
    bench.until("budget at rest", lambda: bench.number(running) == 0 and bench.number('automl_experiment_status{experiment="budget",reason="Suspended"}'))
    bench.patch("budget", {"spec": {"limits": {"maxGpuHours": bench.number(used) / 0.95 / 3600}}})


def knock(bench):
    """Reports with a made-up token, for as long as the alert needs."""
    address = bench.until("the address for reports", lambda: (bench.folder / "report-url").read_text().strip())

    def reports():
        for _ in range(600):
            request = urllib.request.Request(f"{address}/v1/report", b"{}", {"Authorization": "Bearer made-up"})
            try:
                urllib.request.urlopen(request, timeout=5)
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)

    threading.Thread(target=reports, daemon=True).start()


def large(bench):
    one = live.experiment("large", "true", limits={"maxTrials": 1}, suspend=True)
    one["spec"]["trialTemplate"]["manifest"]["spec"]["template"]["metadata"] = {"annotations": {"note": "x" * 1_250_000}}
    bench.apply(one)


def provoke_all(bench, automl):
    unlimited = {"maxTrials": 1000, "maxFailedTrials": 1000, "parallelTrials": 1}
    talk = "for e in $(seq 1000); do echo epoch=$e accuracy=0.5; sleep 1; done"
    make = live.experiment
    # One that runs well all the while, and by which the others must not be measured.
    bench.apply(make("well", f"echo $AUTOML_REPORT_URL > {bench.folder}/report-url; {talk}", gpus=0, limits=unlimited))
    bench.apply(make("budget", "sleep 2; echo accuracy=1", limits={**unlimited, "maxGpuHours": 10}))
    bench.until("a trial that runs well", lambda: bench.number('automl_trial_step{experiment="well"}') > 2)
    say = bench.provoke
    say("AutomlExperimentStalled", lambda: bench.apply(make("waits", "true", gpus=64, limits=unlimited)), experiment="waits", reason="Pending")
    say("AutomlGpuBudgetNearlySpent", lambda: budget(bench), experiment="budget")
    say("AutomlTrialSilent", lambda: bench.apply(make("silent", "echo accuracy=1; sleep 1000", gpus=0, limits=unlimited)), experiment="silent")
    say("AutomlGpuIdle", lambda: bench.apply(make("idle", talk, limits=unlimited)), experiment="idle")
    say("AutomlTrialsFail", lambda: bench.apply(make("fails", "exit 1", gpus=0, limits=unlimited)), namespace="default")
    say("AutomlReportsRefused", lambda: knock(bench))
    say("AutomlObjectNearlyTooLarge", lambda: large(bench), kind="Experiment")
    say("AutomlReconcileErrors", lambda: bench.second(automl), job="walled")
    bench.until("AutomlApiWritesFail", lambda: bench.firing("AutomlApiWritesFail", job="walled"))
    assert not bench.firing("AutomlApiWritesFail", job="automl"), "only the one behind the wall is refused"
    say("AutomlWatchTooOld", Wall.frozen.set, job="walled")
    Wall.frozen.clear()
    assert not bench.firing("AutomlTrialSilent", experiment="well"), "it talks"
    assert not bench.firing("AutomlExperimentStalled", experiment="well"), "it runs"
    assert not bench.firing("AutomlWatchTooOld", job="automl"), "its watches are well"
    # The one behind the wall has nobody to compete with, and so leads, too.
    say("AutomlNoLeader", lambda: [child.send_signal(signal.SIGSTOP) for name, child in bench.named if name != "prometheus"])
    for name, child in bench.named:
        child.send_signal(signal.SIGCONT)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="automl-alerts."))
    rules = (live.FILES / "rules.yaml").read_text()
    (folder / "rules.yaml").write_text(shortened(rules))
    bench, done = Bench(folder), False
    automl = pathlib.Path(sys.argv[1]).resolve()
    try:
        bench.begin(automl, folder / "rules.yaml")
        provoke_all(bench, automl)
        done = True
    finally:
        Wall.frozen.clear()
        bench.stop()
        if not done:
            print(f"provoke.py: logs are in {folder}", file=sys.stderr)
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    missing = [alert for alert in sorted(alerts) if f'"{alert}"' not in pathlib.Path(__file__).read_text()]
    if missing:
        sys.exit(f"provoke.py: nobody provokes {', '.join(missing)}")
    shutil.rmtree(folder)
    print(f"provoke.py: each of {len(alerts)} alerts was provoked, and fired")


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
