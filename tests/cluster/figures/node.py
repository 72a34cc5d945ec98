"""Figures of a whole node: the chart is installed, and pods run."""

import pathlib
import re
import subprocess
import time

from audit import Log, own_parts, refills, split
from client import EXPERIMENTS, JOBS, PODS, TRIALS
from objects import Jobs, completed, experiment, like, plain, size, until
from overhead import idle_agents, start_times
from table import costs, percentile, percentiles, row

SPACE = "figures"
SCRIPT = "sleep 3; echo accuracy=${params.x}"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"


def first_job_times(cluster, log, space, count):
    """From the request to create an Experiment until the answer to that which creates its first Job, one after the other."""
    times = []
    for number in range(count):
        name = f"apply-{number}"
        log.mark(time.time())
        cluster.create(EXPERIMENTS.format(space), experiment(name, 1, 1, "echo accuracy=1"))
        path = f"{JOBS.format(space)}/{name}-00000"
        until(f"{name} has a Job", lambda path=path: cluster.find(path))
        time.sleep(0.1)
        (applied,) = list(log.all(verb="create", resource="experiments", name=name))
        created = [each for each in log.of_operator(verb="create", resource="jobs", dry=False, code=201)]
        times.append(created[0].done - applied.received)
        completed(cluster, space, name)
    return times


def loop(cluster, space, name, make, count, parallel):
    """Runs so many Jobs, so many at a time, each removed when it has ended: what a script without an operator would do.
    Returns seconds from the first request until the last Job has ended."""
    jobs = Jobs(cluster, space)
    path = JOBS.format(space)
    start = time.time()
    for number in range(min(parallel, count)):
        cluster.create(path, make(f"{name}-{number:05}"))
    end = start
    for number in range(count):
        ended, end = jobs.await_end()
        if number + parallel < count:
            cluster.create(path, make(f"{name}-{number + parallel:05}"))
        cluster.delete(f"{path}/{ended}")
    return end - start


def operator_run(cluster, space, name, count, parallel):
    """The same by an Experiment; returns the seconds, and a Job that the operator has made."""
    jobs = Jobs(cluster, space)
    start = time.time()
    cluster.create(EXPERIMENTS.format(space), experiment(name, count, parallel, SCRIPT))
    end = start
    for _ in range(count):
        _, end = jobs.await_end()
    completed(cluster, space, name)
    return end - start, jobs.created.get_nowait()


def throughput(cluster, run, log, count=60, parallel=10):
    cluster_ip = "10.244.0.1"
    log.mark(time.time())
    ours, pattern = operator_run(cluster, SPACE, "pace", count, parallel)
    requests = log.of_operator()
    ends = {each.name: each.done for each in log.all(verb="update", resource="jobs/status", user=JOB_CONTROLLER, code=200)}
    ends = [(end, name) for name, end in ends.items()]
    creates = [
        (each.received, each.name) for each in requests if (each.verb, each.resource, each.dry) == ("create", "jobs", False)
    ]
    # Until the trials of before are gone, their pods take time from the next ones.
    quiet(cluster)

    here = pathlib.Path(__file__).parent
    command = [here.parent / "in.sh", run, "python3", here / "acknowledge.py", cluster_ip]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        with_agent = loop(cluster, SPACE, "like", lambda name: like(pattern, name, url), count, parallel)
        quiet(cluster)
        start_agent = start_times(cluster, SPACE, "start-agent", lambda name: timed(like(pattern, name, url)))
        server.terminate()
    script = SCRIPT.replace("${params.x}", "0.5")
    without = loop(cluster, SPACE, "plain", lambda name: plain(name, script), count, parallel)
    quiet(cluster)

    what = f"trials a minute, {count} of 3 s, {parallel} at a time"
    row(what, f"{count / ours * 60:.1f}")
    row("  a loop that creates the very same pods, agent included", f"{count / with_agent * 60:.1f}")
    row("  the operator's part of that", f"{with_agent / ours:.1%}", ">= 95 %")
    row("  a loop that creates the pods without the agent", f"{count / without * 60:.1f}")
    row("  the operator's part of that", f"{without / ours:.1%}", ">= 85 %")
    times = refills([end for end, _ in ends], [create for create, _ in creates], parallel)
    percentiles("a slot's refill: Job's end written -> next Job's request, p50, p99", times)
    own = own_parts(ends, creates, parallel, requests)
    percentiles("  less the API server's answers about the two trials, p50, p99", own, "p99 < 100 ms")
    costs(requests, count)

    start_plain = start_times(cluster, SPACE, "start-plain", lambda name: timed(plain(name, "")))
    agent, bare = percentile(start_agent, 50), percentile(start_plain, 50)
    row("Job's request -> program runs, p50, with and without the agent", f"{agent:.2f} s, {bare:.2f} s")
    row("  so much longer by the agent", f"{(agent - bare) * 1000:.0f} ms", "< 200 ms")


def timed(job):
    """Its program prints the machine's uptime as the first thing it does."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    # What stands before the shell is the agent.
    container["command"] = container["command"][:-1] + ["cat /proc/uptime; echo accuracy=1"]
    return job


def quiet(cluster):
    """Waits until no Job and no pod is left."""
    def look():
        return not cluster.get(PODS.format(SPACE))["items"] and not cluster.get(JOBS.format(SPACE))["items"]

    until("no pod is left", look, pause=0.5)


def at_rest(log, seconds):
    log.mark(time.time())
    time.sleep(seconds)
    requests = log.of_operator()
    row(f"writes in {seconds} s at rest", str(len(split(requests)[0])), "0")
    leases = sum(each.resource == "leases" for each in requests)
    row("  requests for the Lease of the leader in that time", str(leases))


def largest(cluster):
    """A trial that says as much as one can, and the size of all that is there."""
    script = "e=0; while [ $e -lt 20000 ]; do e=$((e+1)); echo epoch=$e accuracy=0.$e loss=1.$e error=2.$e; done"
    cluster.create(EXPERIMENTS.format(SPACE), experiment("much", 2, 2, script, {"additionalMetrics": ["loss", "error"]}))
    completed(cluster, SPACE, "much")
    items = [each for kind in (EXPERIMENTS, TRIALS) for each in cluster.get(kind.format(SPACE))["items"]]
    sizes = {f"{each['kind'] if 'kind' in each else ''} {each['metadata']['name']}": size(each) for each in items}
    name = max(sizes, key=sizes.get)
    row(f"largest object of ours, after 20,000 lines with 3 metrics ({name.strip()})", f"{sizes[name] / 1000:.1f} kB")


def main(cluster, run):
    cluster.create("/api/v1/namespaces", {"metadata": {"name": SPACE}})
    until("there is a ServiceAccount", lambda: cluster.find(f"/api/v1/namespaces/{SPACE}/serviceaccounts/default"))
    log = Log(f"{run}/log/audit.log")
    times = first_job_times(cluster, log, SPACE, 20)
    percentiles("Experiment applied -> its first Job created, p50, p99", times, "p50 < 300 ms")
    quiet(cluster)
    throughput(cluster, run, log)
    idle_agents(cluster, SPACE, run_id(run))
    largest(cluster)
    at_rest(log, 60)


def run_id(run):
    """The name of the run's control groups, which all its pods are in."""
    kubelet = pathlib.Path(run, "config/kubelet.yaml").read_text()
    return re.search(r"^cgroupRoot: /(\S+)$", kubelet, re.M).group(1)
