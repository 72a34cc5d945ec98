"""What the agent costs a trial: memory and processor time while nothing happens, and time at the start."""

import pathlib
import time

from client import EXPERIMENTS, JOBS, PODS
from objects import experiment, until
from table import row


def start_times(cluster, space, name, make, count=15):
    """Seconds from the request to create a Job until its program runs, one Job after the other."""
    times = []
    for number in range(count):
        job = make(f"{name}-{number}")
        start = uptime(pathlib.Path("/proc/uptime").read_text())
        cluster.create(JOBS.format(space), job)
        path, selector = PODS.format(space), f"batch.kubernetes.io/job-name={name}-{number}"

        def ended(path=path, selector=selector):
            found = cluster.get(path, labelSelector=selector)["items"]
            return found[0] if found and found[0]["status"]["phase"] in ("Succeeded", "Failed") else None

        pod = until("the pod has ended", ended, pause=0.1)
        if pod["status"]["phase"] == "Failed":
            raise RuntimeError(f"pod {pod['metadata']['name']} has failed: {pod['status']}")
        said = cluster.text(f"{path}/{pod['metadata']['name']}/log", container="train")
        times.append(uptime(said) - start)
        cluster.delete(f"{JOBS.format(space)}/{name}-{number}")
        until("it is gone", lambda path=path, selector=selector: not cluster.get(path, labelSelector=selector)["items"])
    return times


def uptime(text):
    """The first number of /proc/uptime: seconds, to the hundredth, the same in all containers of the machine."""
    return float(text.split()[0])


def agents(group):
    """Process ids of the agents in the pods of this node."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name, groups = (process / "comm").read_text(), (process / "cgroup").read_text()
        except OSError:
            continue
        if name.strip() == "automl-agent" and f"/{group}/" in groups:
            yield process


def resident(process):
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000


def processor_time(process):
    """Seconds on a processor, to the nanosecond, of all threads."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in (process / "task").glob("*")) / 1e9


def idle_agents(cluster, space, group, seconds=60):
    cluster.create(EXPERIMENTS.format(space), experiment("idle", 1, 1, "echo accuracy=1; sleep 600"))

    def both():
        found = list(agents(group))
        return found if len(found) == 2 else None

    found = until("the agent around the program and the one beside it run", both)
    # What they do at their start is over then.
    time.sleep(10)
    before = {process: processor_time(process) for process in found}
    time.sleep(seconds)
    used = [(processor_time(process) - before[process]) / seconds for process in found]
    each = [resident(process) for process in found]
    parts = " + ".join(f"{one:.1f}" for one in each)
    row("agents of an idle trial: resident memory of both", f"{parts} = {sum(each):.1f} MB", "< 5 MB")
    row("  processor, both together", f"{sum(used) * 1000:.2f} mCPU", "< 1 mCPU")
    cluster.delete(f"{EXPERIMENTS.format(space)}/idle")
