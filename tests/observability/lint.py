#!/usr/bin/env python3
"""Checks the chart's Grafana dashboards against the rules of Grafana's dashboard-linter and of its best practices, and that every
alert has what a sleepy person needs.

Of the linter's rules four are left out, knowingly: template-job-rule, template-instance-rule, target-job-rule and
target-instance-rule want the variables $job and $instance in every query. Experiments, trials and GPUs are the same whichever
process tells of them, so those dashboards ask by namespace and experiment; the dashboard of the operator itself has both, which
is checked here."""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "charts/automl-operator/files"
UNITS = {"short", "percent", "percentunit", "bytes", "watt", "celsius", "s", "h", "ops", "reqps", "currencyUSD"}
wrong = []


def check(condition, where, sentence):
    if not condition:
        wrong.append(f"{where}: {sentence}")


def expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def dashboard(path):
    board = json.loads(path.read_text())
    name = path.name
    check(board["editable"] is False, name, "must not be editable")
    check(re.fullmatch(r"automl-[a-z]+", board["uid"]), name, "has no stable uid")
    check("__inputs" not in board and "id" not in board, name, "is an export, not a source")
    check(36 <= board["schemaVersion"] <= 41, name, "schemaVersion is none that all Grafanas load")
    check(board["tags"] == ["automl"], name, "lacks its tag, by which the dashboards find each other")
    check(any(link["includeVars"] and link["keepTime"] for link in board["links"]), name, "does not lead to the others")
    variables = {one["name"]: one for one in board["templating"]["list"]}
    sources = [one for one in variables.values() if one["type"] == "datasource"]
    check(len(sources) == 1 and sources[0]["name"] == "datasource" and sources[0]["query"] == "prometheus", name, "needs one data source variable")
    for one in variables.values():
        where = f"{name}, variable {one['name']}"
        check(one.get("label"), where, "has no label")
        if one["type"] == "query":
            check(one["datasource"]["uid"] == "${datasource}", where, "has a data source of its own")
            check(one["definition"] == one["query"]["query"], where, "shows another query than it asks")
            check(one["refresh"] == 2, where, "is not asked anew when the time changes")
            check(not one["multi"] or one.get("allValue") == ".*", where, "has no value for all")
    asked = {"datasource", "namespace", "experiment"} if name != "operator.json" else {"datasource", "job", "instance"}
    check(asked <= set(variables), name, f"lacks a variable of {sorted(asked)}")
    used = " ".join(expression for _, expression in expressions(board))
    for one in variables:
        check(one == "datasource" or f"${one}" in used or f"${one}" in json.dumps(board["templating"]), f"{name}, variable {one}", "is not used")
    taken = set()
    for panel in board["panels"]:
        where, place = f"{name}, panel {panel['title']!r}", panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        check(not cells & taken and place["x"] + place["w"] <= 24, where, "lies over another or beyond the edge")
        taken |= cells
        if panel["type"] == "row":
            continue
        check(panel["title"] and panel.get("description", "").endswith("."), where, "lacks a title or a description")
        check(panel["datasource"]["uid"] == "${datasource}", where, "has a data source of its own")
        check(panel["fieldConfig"]["defaults"].get("unit") in UNITS, where, "has no known unit")
        if panel["type"] == "table":
            overrides = {(one["matcher"]["options"], of["id"]) for one in panel["fieldConfig"]["overrides"] for of in one["properties"]}
            check({("experiment", "links"), ("trial", "links")} <= overrides, where, "has rows that lead nowhere")
            organized = panel["transformations"][-1]["options"]
            for at in range(len(panel["targets"])):
                value = f"Value #{chr(ord('A') + at)}"
                column = organized["renameByName"].get(value)
                known = (column, "unit") in overrides if column else organized["excludeByName"].get(value)
                check(known, where, f"has a column without name and unit: {value}")
        check(panel.get("targets"), where, "asks for nothing")
        for target in panel.get("targets", []):
            expression = target["expr"]
            check(target["datasource"]["uid"] == "${datasource}", where, "a query has a data source of its own")
            check(not re.search(r"\b(rate|irate|increase)\([^\[]*\[(?!\$__)", expression), where, "a rate has an interval of its own")
            bare = re.sub(r"\b(?:rate|increase)\([a-z_]+(?:\{[^}]*\})?\[", "", expression)
            check("_total" not in bare, where, "a counter is shown without rate or increase")
            quantiles = re.findall(r"histogram_quantile\([^,]+, *(.{0,60})", expression)
            check(all(re.match(r"sum by \([^)]*\ble\b[^)]*\) \(rate\(", inner) for inner in quantiles), where, "a quantile of no rate by le")
            check(target["legendFormat"] or panel["type"] in ("stat", "table"), where, "a query has no legend")
            for known in ("namespace", "experiment", "job", "instance"):
                check(f'{known}="' not in expression, where, f"{known} is fixed")
            if name == "operator.json":
                check("$job" in expression and "$instance" in expression, where, "asks operators that were not chosen")


def rules():
    text = (FILES / "rules.yaml").read_text()
    runbooks = ROOT / "docs/runbooks"
    index = (runbooks / "README.md").read_text()
    tests = (ROOT / "tests/observability/rules_test.yaml").read_text()
    alerts = re.split(r"\n  - alert: ", text)[1:]
    check(len(alerts) >= 9, "rules.yaml", "has lost alerts")
    known = {alert.split("\n", 1)[0] for alert in alerts} | {"README"}
    check({page.stem for page in runbooks.iterdir()} == known, "docs/runbooks", "has a page of no alert")
    for alert in alerts:
        name = alert.split("\n", 1)[0]
        for needed in ("for: ", "severity: ", "summary: ", "description: "):
            check(needed in alert, name, f"has no {needed.strip()}")
        page = runbooks / f"{name}.md"
        check(page.is_file() and page.read_text().startswith(f"# {name}\n"), name, "has no page in docs/runbooks")
        check(f"]({name}.md)" in index, name, "is not listed in docs/runbooks/README.md")
        told = re.findall(rf"alertname: {name}\b,?\s*exp_alerts:(\s*\[\])?", tests)
        check("" in told and any(told), name, "is not tested for firing and for not firing")


def laptop():
    """What docs/laptop gives to Prometheus and Grafana leads to the chart's own files; promtool reads prometheus.yml itself."""
    folder = ROOT / "docs/laptop"
    scraped = (folder / "prometheus.yml").read_text()
    rules = re.search(r"rule_files: \[(.*)\]", scraped)
    check(rules and (folder / rules[1]).resolve() == (FILES / "rules.yaml").resolve(), "docs/laptop/prometheus.yml", "lacks the alerts")
    check("honor_labels: true" in scraped, "docs/laptop/prometheus.yml", "loses the namespace of an Experiment")
    source = (folder / "grafana/datasources/prometheus.yaml").read_text()
    check("type: prometheus\n" in source and "url: http://127.0.0.1:9090\n" in source, "docs/laptop/grafana", "has no Prometheus as data source")
    path = re.search(r"path: \$PWD/(.*)", (folder / "grafana/dashboards/automl.yaml").read_text())
    check(path and (ROOT / path[1]).resolve() == (FILES / "dashboards").resolve(), "docs/laptop/grafana", "lacks the dashboards")
    page = (ROOT / "docs/observability.md").read_text()
    target = re.search(r'targets: \["(.*)"\]', scraped)
    check(target and f"automl local --metrics {target[1]}" in page, "docs/laptop/prometheus.yml", "scrapes what nobody serves")


def main():
    boards = sorted((FILES / "dashboards").glob("*.json"))
    check(len(boards) == 3, "dashboards", "there are not three")
    for path in boards:
        dashboard(path)
    rules()
    laptop()
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"lint.py: {len(boards)} dashboards and the alerts are as they should be")


main()
