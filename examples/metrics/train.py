"""Walks down Rosenbrock's valley by gradient descent, and says in one of several ways how far it has come.

Needs nothing but Python, and for TensorBoard and MLflow a package each. What to write into an Experiment for each way stands in the YAML files beside this one.
"""

import argparse
import csv
import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

STEPS = 20
PAUSE = 0.2  # seconds that a step takes


def steps(lr, momentum):
    """The step and the height after each step."""
    x, y, velocity_x, velocity_y = -1.0, 1.5, 0.0, 0.0
    for step in range(1, STEPS + 1):
        for _ in range(50):
            slope_x = -2 * (1 - x) - 400 * x * (y - x * x)
            slope_y = 200 * (y - x * x)
            velocity_x = momentum * velocity_x - lr * slope_x
            velocity_y = momentum * velocity_y - lr * slope_y
            x, y = x + velocity_x, y + velocity_y
        yield step, (1 - x) ** 2 + 100 * (y - x * x) ** 2
        time.sleep(PAUSE)


def print_sentences(progress, _):
    for step, height in progress:
        print(f"after step {step} the height is {height:.6f}", flush=True)


def write_csv(progress, path):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "height"])
        for row in progress:
            writer.writerow(row)
            file.flush()


def write_json_lines(progress, path):
    with open(path, "w") as file:
        for step, height in progress:
            print(json.dumps({"step": step, "valley": {"height": height}}), file=file, flush=True)


def write_events(progress, folder):
    from tensorboardX import SummaryWriter  # as that of torch.utils.tensorboard

    with SummaryWriter(folder) as writer:
        for step, height in progress:
            writer.add_scalar("valley/height", height, step)
            writer.flush()


def offer_to_prometheus(progress, port):
    now = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            lines = ["# TYPE height gauge"]
            if now:
                lines += ['height{valley="rosenbrock"} %r' % now["height"], "step %d" % now["step"]]
            self.wfile.write(("\n".join(lines) + "\n").encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for step, height in progress:
        now = {"step": step, "height": height}
    time.sleep(1.5)  # so that the last value is scraped


def report(**observation):
    """Pushes an observation; true when the program is to stop."""
    with open(os.environ["AUTOML_TOKEN_FILE"]) as file:  # anew each time, since it is replaced
        head = {"Authorization": "Bearer " + file.read().strip()}
    post = urllib.request.Request(os.environ["AUTOML_PUSH_URL"], json.dumps(observation).encode(), head)
    with urllib.request.urlopen(post, timeout=30) as answer:
        return json.load(answer)["stop"]


def push(progress, _):
    for step, height in progress:
        if report(step=step, height=height):
            break


def log_to_mlflow(progress, _):
    import mlflow

    with mlflow.start_run():
        for step, height in progress:
            mlflow.log_metric("height", height, step=step)


WAYS = {
    "sentences": print_sentences,
    "csv": write_csv,
    "jsonl": write_json_lines,
    "tensorboard": write_events,
    "prometheus": offer_to_prometheus,
    "push": push,
    "mlflow": log_to_mlflow,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--say", choices=WAYS, required=True, help="how")
    parser.add_argument("--where", help="the file, the folder or the port")
    arguments = parser.parse_args()
    WAYS[arguments.say](steps(arguments.lr, arguments.momentum), arguments.where)


if __name__ == "__main__":
    main()
