#!/usr/bin/env python3
"""Writes the Grafana dashboards of the chart (charts/automl-operator/files/dashboards/*.json) from the tables below.

  scripts/dashboards.py            writes them
  scripts/dashboards.py --check    fails when those that are committed are not these
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "charts/automl-operator/files/dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What a person has chosen above.
CHOSEN = 'namespace=~"$namespace",experiment=~"$experiment"'
CHOSEN_TRIAL = CHOSEN + ',trial=~"$trial"'
INSTANCE = 'job=~"$job",instance=~"$instance"'


def variable(name, label, query, multi=True):
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
        "definition": query, "query": {"query": query, "refId": name}, "multi": multi, "includeAll": multi,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if multi else {}),
    }


DATASOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
NAMESPACE = variable("namespace", "Namespace", "label_values(automl_experiments, namespace)")
EXPERIMENT = variable("experiment", "Experiment", 'label_values(automl_experiment_info{namespace=~"$namespace"}, experiment)')
# Those that run, or ran in the time shown.
TRIAL = variable("trial", "Trial", f"label_values(automl_trial_start_timestamp_seconds{{{CHOSEN}}}, trial)")
JOB = variable("job", "Job", "label_values(automl_build_info, job)")
INSTANCES = variable("instance", "Instance", 'label_values(automl_build_info{job=~"$job"}, instance)')


def of_column(name, what, value):
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": what, "value": value}]}


def link(title, board, *of):
    chosen = "&".join(["var-datasource=${datasource}", *(f"var-{one}=${{__data.fields.{one}}}" for one in of)])
    return {"title": title, "url": f"/d/{board}?{chosen}&${{__url_time_range}}"}


# Where the cells of a table lead.
LINKS = {
    "experiment": link("This Experiment alone", "automl-experiments", "namespace", "experiment"),
    "trial": link("Its GPUs, and what its Experiment costs", "automl-gpus", "namespace", "experiment", "trial"),
}


def panel(kind, title, description, unit, queries, width=8, height=8, **more):
    """A panel; `queries`: (expression, legend) each. `table`: all series at once, as rows."""
    instant = kind in ("stat", "table", "bargauge")
    targets = [
        {"datasource": SOURCE, "refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend,
         "instant": instant, "range": not instant, **({"format": "table"} if kind == "table" else {})}
        for at, (expression, legend) in enumerate(queries)
    ]
    custom = {}
    options = {}
    if kind == "timeseries":
        custom = {"fillOpacity": more.pop("fill", 0), "showPoints": more.pop("points", "auto"), "lineWidth": more.pop("line", 1),
                  "stacking": {"mode": more.pop("stack", "none")}}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
    result = {
        "type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "custom": custom}, "overrides": []}, "options": options,
        "gridPos": {"w": width, "h": height},
    }
    if kind == "table":
        # Values by their letter: what the column is called, and its unit; without both it is left out.
        columns = more.pop("columns")
        hidden = ["Time", "__name__", "job", "instance", "container", "endpoint", "pod", "service"]
        hidden += [f"Value #{letter}" for letter, column in columns.items() if not column]
        names = {f"Value #{letter}": column[0] for letter, column in columns.items() if column}
        result["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": dict.fromkeys(hidden, True), "renameByName": names}},
        ]
        result["fieldConfig"]["overrides"] = [
            *(of_column(name, "unit", unit) for name, unit in filter(None, columns.values())),
            *(of_column(name, "links", [link]) for name, link in LINKS.items()),
        ]
    return result


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def stat(title, description, unit, expression, width=4):
    return panel("stat", title, description, unit, [(expression, "")], width, 4)


EXPERIMENTS = {
    "uid": "automl-experiments", "title": "AutoML / Experiments", "variables": [DATASOURCE, NAMESPACE, EXPERIMENT, TRIAL],
    "panels": [
        row("Overview"),
        stat("Experiments at work", "Experiments that have not ended.", "short",
             f"sum(1 - automl_experiment_ended{{{CHOSEN}}}) or vector(0)"),
        stat("Running trials", "Trials whose program runs.", "short", f'sum(automl_experiment_trials{{{CHOSEN},state="running"}})'),
        stat("Waiting trials", "Trials that are made and do not run yet.", "short", f'sum(automl_experiment_trials{{{CHOSEN},state="pending"}})'),
        stat("Ended well", "Trials that have succeeded or were stopped early.", "short",
             f'sum(automl_experiment_trials{{{CHOSEN},state=~"succeeded|early_stopped"}})'),
        stat("Failed", "Trials without a value of the objective.", "short", f'sum(automl_experiment_trials{{{CHOSEN},state="failed"}})'),
        stat("Saved by stopping early", "Share of the trials' time that stopping them early has saved, estimated by those that ran to their end.",
             "percentunit",
             f"sum(automl_experiment_seconds_saved{{{CHOSEN}}}) / clamp_min(sum(automl_experiment_seconds_saved{{{CHOSEN}}} + automl_experiment_seconds_used{{{CHOSEN}}}), 1)"),
        row("Optimisation"),
        panel("timeseries", "Best objective so far", "The best value of each Experiment's objective.", "short",
              [(f"automl_experiment_best_objective{{{CHOSEN}}}", "{{namespace}}/{{experiment}}")], 12, line=2),
        panel("timeseries", "Running trials' latest value", "The latest value of the objective that was received of each running trial.", "short",
              [(f"topk(50, automl_trial_latest_value{{{CHOSEN_TRIAL}}})", "{{trial}}")], 12, points="always", line=0),
        panel("timeseries", "Trials by state", "How many trials have ended how, and how many run or wait.", "short",
              [(f"sum by (state) (automl_experiment_trials{{{CHOSEN}}})", "{{state}}")], 12, fill=40, stack="normal"),
        panel("timeseries", "Ended trials by reason", "Trials that have ended per minute, by the reason of their end.", "short",
              [('sum by (reason) (rate(automl_trials_ended_total{namespace=~"$namespace"}[$__rate_interval])) * 60', "{{reason}}")], 12),
        row("Experiments and trials"),
        panel("table", "Experiments", "What each Experiment is about, why it is where it is, and its best value.", "short", [
            (f"automl_experiment_info{{{CHOSEN}}} * on (namespace, experiment) group_left (reason) automl_experiment_status", ""),
            (f"automl_experiment_best_objective{{{CHOSEN}}}", ""),
            (f"automl_experiment_max_trials{{{CHOSEN}}}", ""),
        ], 24, 8, columns={"A": None, "B": ("best", "short"), "C": ("max trials", "short")}),
        panel("table", "Running trials", "Each running trial with its step, its latest value, its objective so far, its age, and for how long nothing of it was received.", "short", [
            (f"automl_trial_step{{{CHOSEN_TRIAL}}}", ""),
            (f"automl_trial_latest_value{{{CHOSEN_TRIAL}}}", ""),
            (f"automl_trial_objective{{{CHOSEN_TRIAL}}}", ""),
            (f"time() - automl_trial_start_timestamp_seconds{{{CHOSEN_TRIAL}}}", ""),
            (f"time() - automl_trial_last_observation_timestamp_seconds{{{CHOSEN_TRIAL}}}", ""),
        ], 24, 8, columns={"A": ("step", "short"), "B": ("latest", "short"), "C": ("objective", "short"), "D": ("age", "s"), "E": ("silent for", "s")}),
        panel("timeseries", "Stopped early by rule", "Trials that rules of earlyStopping have ended per minute, of all namespaces.", "short",
              [("sum by (rule) (rate(automl_stop_decisions_total[$__rate_interval])) * 60", "{{rule}}")]),
        panel("timeseries", "Interrupted by cause", "Attempts at trials that were interrupted and began anew, per minute.", "short",
              [('sum by (cause) (rate(automl_trial_retries_total{namespace=~"$namespace"}[$__rate_interval])) * 60', "{{cause}}")]),
        panel("timeseries", "Ended without a value", "Trials per minute that ended without a value of their objective.", "short",
              [('sum by (namespace) (rate(automl_objective_missing_total{namespace=~"$namespace"}[$__rate_interval])) * 60', "{{namespace}}")]),
        panel("timeseries", "Why trials wait", "Trials that have not begun, by what they wait for; those for whom all is well wait for their pod (Pending).", "short",
              [('sum by (reason) (automl_trials_waiting{namespace=~"$namespace"}) or label_replace(vector(0), "reason", "none", "", "")', "{{reason}}")], 24),
        row("Budget and time"),
        panel("bargauge", "Trials made of those allowed", "Share of limits.maxTrials that has ended.", "percentunit",
              [(f'sum by (namespace, experiment) (automl_experiment_trials{{{CHOSEN},state=~"succeeded|failed|early_stopped"}}) / sum by (namespace, experiment) (automl_experiment_max_trials{{{CHOSEN}}})', "{{namespace}}/{{experiment}}")], 8),
        panel("timeseries", "Parallel trials used", "Running and waiting trials as a share of limits.parallelTrials, of Experiments that have not ended.", "percentunit",
              [(f'sum by (namespace, experiment) (automl_experiment_trials{{{CHOSEN},state=~"running|pending"}}) / sum by (namespace, experiment) (automl_experiment_parallel_trials{{{CHOSEN}}})', "{{namespace}}/{{experiment}}")], 8),
        panel("timeseries", "Waiting time of trials", "From a Trial's creation until it runs for the first time, in all namespaces.", "s", [
            ("histogram_quantile(0.5, sum by (le) (rate(automl_trial_queue_duration_seconds_bucket[$__rate_interval])))", "half"),
            ("histogram_quantile(0.95, sum by (le) (rate(automl_trial_queue_duration_seconds_bucket[$__rate_interval])))", "95 of 100"),
        ], 8),
    ],
}


def of_trials(what, chosen=CHOSEN_TRIAL):
    return f"automl:trial_gpu_{what}{{{chosen}}}"


# Dollars an hour of a GPU whose model has no price: the operator's for all others, else what a person has chosen.
OTHERWISE = '(max(automl_gpu_price_dollars_per_hour{model="any"}) or vector($price))'
# 1 for each GPU of a running trial, with its model; of all trials, since an Experiment's cost is not one trial's.
EACH = f"""label_replace({of_trials('utilization:percent', CHOSEN)}, "model", "$1", "modelName", "(.+)") ^ 0"""
# What each of them costs an hour.
PRICES = f"({EACH} * on (model) group_left () max by (model) (automl_gpu_price_dollars_per_hour) or {EACH} * on () group_left () {OTHERWISE})"
HOURS_USED = f"automl_experiment_gpu_seconds_used{{{CHOSEN}}} / 3600"
# An Experiment's GPUs cost what those of its trials did cost that ran in the time shown.
COST = (
    f"sum({HOURS_USED} * on (namespace, experiment) group_left () avg_over_time((avg by (namespace, experiment) ({PRICES}))[$__range:])"
    f" or {HOURS_USED} * on () group_left () {OTHERWISE})"
)


GPUS = {
    "uid": "automl-gpus", "title": "AutoML / GPUs and cost",
    "variables": [DATASOURCE, NAMESPACE, EXPERIMENT, TRIAL, {
        "name": "price", "label": "US dollars per GPU hour without a price", "type": "textbox", "query": "2.50", "current": {"text": "2.50", "value": "2.50"},
    }],
    "panels": [
        row("Used and saved"),
        stat("GPU hours used", "GPU time of ended trials of the Experiments shown.", "h", f"sum({HOURS_USED})", 6),
        stat("GPU hours saved", "GPU time that stopping trials early has saved, estimated.", "h", f"sum(automl_experiment_gpu_seconds_saved{{{CHOSEN}}}) / 3600", 6),
        stat("Cost", "GPU hours used, at the price of the GPUs that the Experiment's trials ran on in the time shown; where none did, at the operator's price for any GPU, else at the one chosen above.",
             "currencyUSD", COST, 6),
        stat("Idle GPUs", "GPUs of running trials that were less than 5 % busy for ten minutes, or since they run.", "short",
             f"sum((avg_over_time({of_trials('utilization:percent')}[10m]) and {of_trials('utilization:percent')}) < bool 5)", 6),
        row("Running trials"),
        panel("timeseries", "Utilisation", "How busy each trial's GPUs are.", "percent", [(of_trials("utilization:percent"), "{{trial}} {{gpu}}")], 12),
        panel("timeseries", "Memory used", "GPU memory that each trial uses.", "bytes", [(of_trials("memory:bytes"), "{{trial}} {{gpu}}")], 12),
        panel("timeseries", "Power", "What each trial's GPUs draw.", "watt", [(of_trials("power:watts"), "{{trial}} {{gpu}}")], 12),
        panel("timeseries", "Temperature", "Of each trial's GPUs.", "celsius", [(of_trials("temperature:celsius"), "{{trial}} {{gpu}}")], 12),
        panel("table", "Trials and their GPUs", "Mean utilisation over ten minutes, memory and power now.", "short", [
            (f"avg_over_time({of_trials('utilization:percent')}[10m]) and {of_trials('utilization:percent')}", ""), (of_trials("memory:bytes"), ""), (of_trials("power:watts"), ""),
        ], 24, 8, columns={"A": ("utilisation", "percent"), "B": ("memory", "bytes"), "C": ("power", "watt")}),
        panel("bargauge", "Idle GPUs by trial", "How many of each running trial's GPUs were less than 5 % busy for ten minutes, or since they run.", "short",
              [(f"sum by (namespace, trial) ((avg_over_time({of_trials('utilization:percent')}[10m]) and {of_trials('utilization:percent')}) < bool 5)", "{{namespace}}/{{trial}}")], 24),
        row("Budget"),
        panel("bargauge", "GPU hours of those allowed", "Share of limits.maxGpuHours that ended trials have used; Experiments without that limit have none.", "percentunit",
              [(f"automl_experiment_gpu_seconds_used{{{CHOSEN}}} / automl_experiment_max_gpu_seconds{{{CHOSEN}}}", "{{experiment}}")], 12),
        panel("timeseries", "GPU hours used per hour", "GPU time of trials that have ended, by namespace: how many GPUs were at work.", "short",
              [('sum by (namespace) (rate(automl_gpu_seconds_used_total{namespace=~"$namespace"}[$__rate_interval]))', "{{namespace}}")], 12),
        panel("timeseries", "Cost per hour", "US dollars an hour of the GPUs of running trials, by their models' prices (metrics.gpuPrices of the chart).", "currencyUSD",
              [(f"sum by (namespace, experiment) {PRICES}", "{{namespace}}/{{experiment}}")], 24),
    ],
}

OPERATOR = {
    "uid": "automl-operator", "title": "AutoML / Operator", "variables": [DATASOURCE, JOB, INSTANCES],
    "panels": [
        row("Health"),
        stat("Leaders", "Replicas that may write: one, at any time.", "short", f"sum(automl_leading{{{INSTANCE}}})"),
        stat("Replicas", "Replicas that are scraped.", "short", f"count(automl_build_info{{{INSTANCE}}})"),
        stat("Experiments", "All that exist.", "short", f"max(sum by (instance) (automl_experiments{{{INSTANCE}}}))"),
        stat("Running trials", "All whose program runs.", "short", f'max(sum by (instance) (automl_trials{{{INSTANCE},state="running"}}))'),
        stat("Failed passes", "Share of passes over an Experiment that failed.", "percentunit",
             f'(sum(rate(automl_reconciles_total{{{INSTANCE},outcome!="ok"}}[$__range])) or vector(0)) / clamp_min(sum(rate(automl_reconciles_total{{{INSTANCE}}}[$__range])), 0.0001)'),
        stat("Left out", "Objects without series of their own, since there are too many.", "short", f"max(sum by (instance) (automl_series_left_out{{{INSTANCE}}}))"),
        row("Work"),
        panel("timeseries", "Passes", "Passes over an Experiment per second, by how they ended.", "ops",
              [(f"sum by (outcome) (rate(automl_reconciles_total{{{INSTANCE}}}[$__rate_interval]))", "{{outcome}}")]),
        panel("timeseries", "Time of a pass", "API calls included.", "s", [
            (f"histogram_quantile(0.5, sum by (le) (rate(automl_reconcile_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval])))", "half"),
            (f"histogram_quantile(0.99, sum by (le) (rate(automl_reconcile_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval])))", "99 of 100"),
        ]),
        panel("timeseries", "Waiting Experiments", "Experiments that want attention and wait for a worker.", "short", [(f"automl_queue_depth{{{INSTANCE}}}", "{{instance}}")]),
        panel("timeseries", "Age of the queue", "For how long the first of them has waited.", "s", [(f"automl_queue_oldest_seconds{{{INSTANCE}}}", "{{instance}}")]),
        panel("timeseries", "Errors", "Failed passes per second, by class of the failure.", "ops",
              [(f"sum by (class) (rate(automl_errors_total{{{INSTANCE}}}[$__rate_interval]))", "{{class}}")]),
        panel("timeseries", "Largest object", "As JSON; the API server takes no more than 1.5 MiB.", "bytes",
              [(f"max by (kind) (automl_largest_object_bytes{{{INSTANCE}}})", "{{kind}}")]),
        stat("Cannot be read", "Objects that are stored and cannot be understood; their conditions say why.", "short", f"max(sum by (instance) (automl_unreadable_objects{{{INSTANCE}}}))"),
        panel("timeseries", "Suggestions", "Trials proposed per second, by algorithm.", "ops",
              [(f"sum by (algorithm) (rate(automl_suggestion_duration_seconds_count{{{INSTANCE}}}[$__rate_interval]))", "{{algorithm}}")]),
        panel("timeseries", "Time of a suggestion", "95 of 100 take less, by algorithm.", "s",
              [(f"histogram_quantile(0.95, sum by (le, algorithm) (rate(automl_suggestion_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval])))", "{{algorithm}}")]),
        panel("timeseries", "From an Experiment to its first Trial", "From the Experiment's creation; 95 of 100 take less.", "s",
              [(f"histogram_quantile(0.95, sum by (le) (rate(automl_experiment_start_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval])))", "95 of 100")]),
        row("API server"),
        panel("timeseries", "Calls", "Calls of the API server per second.", "ops",
              [(f"sum by (verb, resource) (rate(automl_api_requests_total{{{INSTANCE}}}[$__rate_interval]))", "{{verb}} {{resource}}")], 12),
        panel("timeseries", "Answers", "Calls of the API server per second, by the HTTP status of the answer; none: there was none.", "ops",
              [(f"sum by (code) (rate(automl_api_requests_total{{{INSTANCE}}}[$__rate_interval]))", "{{code}}")], 12),
        panel("timeseries", "Time of a call", "99 of 100 take less, by resource.", "s",
              [(f"histogram_quantile(0.99, sum by (le, resource) (rate(automl_api_request_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval])))", "{{resource}}")], 12),
        panel("timeseries", "Age of the watches", "Since when nothing was heard about a kind of object; an API server says something at least once a minute.", "s",
              [(f"time() - automl_watch_last_event_timestamp_seconds{{{INSTANCE}}}", "{{instance}} {{kind}}")], 12),
        row("Reports"),
        panel("timeseries", "Batches", "Batches of metrics from trials per second, by answer.", "reqps",
              [(f"sum by (answer) (rate(automl_report_batches_total{{{INSTANCE}}}[$__rate_interval]))", "{{answer}}")]),
        panel("timeseries", "Records", "Values per second that trials have reported; those that had come before, were too many, came after the trial's end, or were dropped before they could be said; and lines that look like a metric and are none.", "ops", [
            (f"sum(rate(automl_report_records_total{{{INSTANCE}}}[$__rate_interval]))", "received"),
            (f"sum(rate(automl_report_duplicates_total{{{INSTANCE}}}[$__rate_interval]))", "again"),
            (f"sum(rate(automl_report_refused_total{{{INSTANCE}}}[$__rate_interval]))", "refused"),
            (f"sum(rate(automl_report_late_total{{{INSTANCE}}}[$__rate_interval]))", "late"),
            (f"sum(rate(automl_report_values_left_out_total{{{INSTANCE}}}[$__rate_interval]))", "left out by agents"),
            (f"sum(rate(automl_report_lost_total{{{INSTANCE}}}[$__rate_interval]))", "lost"),
            (f"sum(rate(automl_report_parse_misses_total{{{INSTANCE}}}[$__rate_interval]))", "could not be read"),
        ]),
        panel("timeseries", "Stores", "Writes of reported metrics into Trials per second, and Events that were dropped.", "ops", [
            (f"sum(rate(automl_report_stores_total{{{INSTANCE}}}[$__rate_interval]))", "stores"),
            (f"sum(rate(automl_events_dropped_total{{{INSTANCE}}}[$__rate_interval]))", "dropped Events"),
        ]),
        row("Process"),
        panel("timeseries", "CPU", "Cores in use.", "short", [(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[$__rate_interval])", "{{instance}}")]),
        panel("timeseries", "Memory", "Resident memory.", "bytes", [(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}")]),
        panel("timeseries", "Open files", "File descriptors in use.", "short", [(f"process_open_fds{{{INSTANCE}}}", "{{instance}}")]),
    ],
}


def laid_out(panels):
    """Gives each panel its place: from left to right, a new line where the width is used up."""
    x = y = line = 0
    for number, one in enumerate(panels, 1):
        place = one["gridPos"]
        if x + place["w"] > 24:
            x, y, line = 0, y + line, 0
        one["id"], place["x"], place["y"] = number, x, y
        x, line = x + place["w"], max(line, place["h"])
    return panels


def dashboard(of):
    others = {
        "title": "AutoML", "type": "dashboards", "tags": ["automl"], "asDropdown": False, "includeVars": True, "keepTime": True,
        "icon": "external link", "targetBlank": False, "url": "", "tooltip": "",
    }
    return {
        "uid": of["uid"], "title": of["title"], "tags": ["automl"], "editable": False, "schemaVersion": 39, "version": 1,
        "timezone": "browser", "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "graphTooltip": 1, "links": [others],
        "templating": {"list": of["variables"]}, "annotations": {"list": []}, "panels": laid_out(of["panels"]),
    }


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for of in (EXPERIMENTS, GPUS, OPERATOR):
        path = FOLDER / (of["uid"].removeprefix("automl-") + ".json")
        text = json.dumps(dashboard(of), indent=1) + "\n"
        if check:
            stale += [] if path.exists() and path.read_text() == text else [path.name]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        sys.exit(f"{', '.join(stale)}: not current; run scripts/dashboards.py and commit what it writes")


if __name__ == "__main__":
    main()
