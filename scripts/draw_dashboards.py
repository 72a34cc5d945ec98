#!/usr/bin/env python3
"""Draws the dashboards into docs/pictures/*.png: real queries to a real Prometheus that watches a real operator at work, on the
dashboards' grid, by Chromium. What Grafana shows is prettier; what it shows is this.

  scripts/draw_dashboards.py     needs target/debug/automl, and Debian's packages prometheus and chromium
"""

import html
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/observability"))
import live  # noqa: E402

WORK = 120
COLUMN, LINE, GAP = 58, 30, 6
COLOURS = ["#3871c8", "#d9822b", "#3a9d5d", "#b0413e", "#7d5ba6", "#1f9ea3", "#a88c1c", "#c45a94", "#5f6b78", "#7a9a01"]
STYLE = """
body { margin: 0; background: #f4f5f5; font: 12px DejaVu Sans, sans-serif; color: #24292e; }
.panel { position: absolute; background: #fff; border: 1px solid #dcdfe3; border-radius: 3px; overflow: hidden; box-sizing: border-box; }
.panel h3 { font-size: 12px; margin: 6px 8px 2px; font-weight: 600; } .row { position: absolute; font-weight: 600; font-size: 13px; }
.big { font-size: 26px; text-align: center; color: #3871c8; margin-top: 16px; } .legend { font-size: 9px; margin: 0 8px; white-space: nowrap; }
table { border-collapse: collapse; margin: 4px 8px; font-size: 10.5px; } td, th { text-align: left; padding: 2px 10px 2px 0; border-bottom: 1px solid #eceef0; }
.bar { background: #e7eaed; height: 14px; margin: 1px 8px 6px; } .bar div { background: #3a9d5d; height: 100%; } .name { margin: 4px 8px 0; font-size: 10px; }
"""


def shown(value, unit):
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{100 * value:.1f} %"
    if unit == "bytes":
        power = min(3, max(0, int(math.log2(max(value, 1)) // 10)))
        return f"{value / 1024**power:.1f} {['B', 'KiB', 'MiB', 'GiB'][power]}"
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    words = {"percent": " %", "watt": " W", "celsius": " °C", "s": " s", "h": " h", "ops": "/s", "reqps": "/s", "currencyUSD": " USD"}
    return f"{value:.4g}{words.get(unit, '')}"


def legend(target, labels):
    text = target["legendFormat"]
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def lines(panel, answers, width, height):
    """A line a series."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    every = []
    for target, result in zip(panel["targets"], answers):
        for one in result:
            points = [(float(at), float(value)) for at, value in one["values"] if value != "NaN"]
            if points:
                every.append((legend(target, one["metric"]), points))
    # Those that say most; trials of a moment are left to Grafana.
    every = sorted(every, key=lambda one: -len(one[1]))[:12]
    if not every:
        return "<div class=big>no data</div>"
    xs = [x for _, points in every for x, _ in points]
    ys = [y for _, points in every for _, y in points]
    low, high = min(ys + [0]), max(ys) or 1
    left, top, bottom = 52, 6, 44
    def place(x, y):
        across = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
        up = (y - low) / ((high - low) or 1)
        return left + across * (width - left - 12), top + (1 - up) * (height - top - bottom)
    drawn = []
    for step in range(4):
        y = low + (high - low) * step / 3
        _, down = place(min(xs), y)
        drawn.append(f'<line x1={left} x2={width - 12} y1={down:.1f} y2={down:.1f} stroke="#eceef0"/>'
                     f'<text x={left - 4} y={down + 3:.1f} text-anchor=end font-size=9>{shown(y, unit)}</text>')
    names = []
    for at, (name, points) in enumerate(every):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        drawn += [f'<circle cx={x:.1f} cy={y:.1f} r=2 fill="{colour}"/>' for x, y in [place(*points[-1])]]
        drawn.append(f'<polyline points="{path}" fill=none stroke="{colour}" stroke-width=1.5 />')
        names.append(f'<span style="color:{colour}">&#9632;</span> {html.escape(name)}')
    return f"<svg width={width} height={height - 14}>{''.join(drawn)}</svg><div class=legend style='margin-top:-18px'>{' &nbsp; '.join(names[:6])}</div>"


def table(panel, answers):
    """A row for each set of labels, a column for each query."""
    organized = panel["transformations"][1]["options"]
    hidden, names = organized["excludeByName"], organized["renameByName"]
    rows, labels = {}, []
    for at, result in enumerate(answers):
        for one in result:
            own = {name: value for name, value in one["metric"].items() if name not in hidden}
            key = tuple(own.get(name, "") for name in ("namespace", "experiment", "trial", "gpu"))
            row = rows.setdefault(key, {})
            row.update(own)
            row[f"#{at}"] = one["value"][1]
            labels += [name for name in own if name not in labels]
    columns = [(f"#{at}", names.get(f"Value #{chr(65 + at)}", "")) for at in range(len(answers))]
    columns = [(name, name) for name in labels] + [one for one in columns if one[1]]
    titles = dict(columns)
    units = {one["matcher"]["options"]: of["value"] for one in panel["fieldConfig"]["overrides"] for of in one["properties"] if of["id"] == "unit"}
    head = "".join(f"<th>{html.escape(title)}</th>" for _, title in columns)
    def cell(row, name):
        value = row.get(name, "")
        return shown(float(value), units.get(titles[name], "short")) if name.startswith("#") and value else html.escape(value)
    body = "".join("<tr>" + "".join(f"<td>{cell(row, name)}</td>" for name, _ in columns) + "</tr>" for _, row in sorted(rows.items())[:8])
    return f"<table><tr>{head}</tr>{body}</table>"


def body(panel, answers, width, height):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        value = float(answers[0][0]["value"][1]) if answers[0] else math.nan
        return f"<div class=big>{shown(value, unit)}</div>"
    if panel["type"] == "table":
        return table(panel, answers)
    if panel["type"] == "bargauge":
        bars = []
        for one in answers[0][:5]:
            value = float(one["value"][1])
            name = html.escape(legend(panel["targets"][0], one["metric"]))
            bars.append(f"<div class=name>{name}: {shown(value, unit)}</div><div class=bar><div style='width:{min(100, 100 * value):.1f}%'></div></div>")
        return "".join(bars)
    return lines(panel, answers, width, height)


def draw(bench, path):
    board, parts, end, lowest = json.loads(path.read_text()), [], time.time(), 0
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * COLUMN + GAP, place["y"] * LINE + GAP + 30
        width, height = place["w"] * COLUMN - GAP, place["h"] * LINE - GAP
        lowest = max(lowest, top + height)
        box = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
        if panel["type"] == "row":
            parts.append(f"<div class=row style='{box}'>{html.escape(panel['title'])}</div>")
            continue
        answers = []
        for target in panel["targets"]:
            expression = live.filled(target["expr"])
            if target["instant"]:
                answers.append(bench.ask("query", query=expression, time=end)["result"])
            else:
                answers.append(bench.ask("query_range", query=expression, start=end - WORK, end=end, step=2)["result"])
        parts.append(f"<div class=panel style='{box}'><h3>{html.escape(panel['title'])}</h3>{body(panel, answers, width, height - 24)}</div>")
    title = f"<div class=row style='left:{GAP}px;top:8px;font-size:15px'>{html.escape(board['title'])}</div>"
    return f"<meta charset=utf-8><style>{STYLE}</style>{title}{''.join(parts)}", lowest + GAP


def main():
    pictures = ROOT / "docs/pictures"
    pictures.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="automl-draw."))
    bench = live.Bench(folder)
    try:
        bench.begin(ROOT / "target/debug/automl")
        for one in live.EXPERIMENTS:
            bench.apply(one)
        for at in range(WORK // 5):
            bench.apply(live.experiment(f"short-{at}", "echo accuracy=1", limits={"maxTrials": 1}))
            if at % 3 == 2:
                bench.interrupt()
            time.sleep(5)
        for path in sorted((live.FILES / "dashboards").glob("*.json")):
            text, height = draw(bench, path)
            page = folder / f"{path.stem}.html"
            page.write_text(text)
            subprocess.run([
                "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={24 * COLUMN + GAP},{height}",
                f"--screenshot={pictures / path.stem}.png", f"file://{page}",
            ], check=True, capture_output=True)
    finally:
        bench.stop()


if __name__ == "__main__":
    main()
