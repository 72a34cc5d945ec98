#!/usr/bin/env python3
"""Makes of charts/automl-operator what follows from other files:

  values.schema.json         from values.yaml: types of the defaults, `# @schema` lines, comments as descriptions
  README.md, its table       from values.yaml
  templates/crds/*.yaml      from crds/*.yaml
  Chart.yaml, appVersion     from Cargo.toml

    scripts/chart.py            writes what is stale, and says what it was
    scripts/chart.py --check    says what is stale; exit code 1 if anything is

Comments right above a key describe it. `# @schema {...}` adds to its JSON schema; `## Name` begins a section of the table.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts/automl-operator"

try:
    import yaml
except ImportError:
    # The packages that the chart's tests use.
    if os.environ.get("AUTOML_CHART_VENV"):
        raise
    subprocess.run([ROOT / "scripts/venv.sh", ROOT / "tests/chart"], check=True)
    python = str(ROOT / "tests/chart/.venv/bin/python3")
    os.execve(python, [python, __file__, *sys.argv[1:]], {**os.environ, "AUTOML_CHART_VENV": "1"})

TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "seq": "array", "map": "object"}


class Bad(Exception):
    """values.yaml or a source is not as this script needs it."""


def comment_above(lines, line):
    """The comment that ends right above this line: text and schema."""
    text, schema = [], []
    while line > 0 and re.match(r"\s*#(?!#)", lines[line - 1]):
        line -= 1
        words = lines[line].strip().removeprefix("#").strip()
        (schema if words.startswith("@schema") else text).insert(0, words)
    if len(schema) > 1:
        raise Bad(f"values.yaml:{line + 1}: more than one @schema line")
    return " ".join(text), yaml.safe_load(schema[0].removeprefix("@schema")) if schema else {}


def is_leaf(node, extra):
    return not isinstance(node, yaml.MappingNode) or not node.value or "additionalProperties" in extra


def walk(node, lines, path=()):
    """Each key of values.yaml in order: (path, node, description, extra schema)."""
    for key, value in node.value:
        here = (*path, key.value)
        text, extra = comment_above(lines, key.start_mark.line)
        yield here, value, text, extra, key.start_mark.line
        if is_leaf(value, extra):
            if not text:
                raise Bad(f"values.yaml:{key.start_mark.line + 1}: {'.'.join(here)} has no comment")
        else:
            yield from walk(value, lines, here)


def schema_of(entries):
    """The JSON schema of values.yaml."""
    closed = {"type": "object", "additionalProperties": False}
    root = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart automl-operator",
        **closed,
        "properties": {},
    }
    for path, node, text, extra, line in entries:
        parent = root
        for name in path[:-1]:
            parent = parent["properties"][name]
        kind = node.tag.rsplit(":", 1)[-1]
        one = {"description": text} if text else {}
        if not is_leaf(node, extra):
            one |= closed | {"properties": {}}
        else:
            if kind in TYPES:
                one["type"] = TYPES[kind]
            elif "type" not in extra:
                raise Bad(f"values.yaml:{line + 1}: the type of {'.'.join(path)} does not follow from its default")
            one |= extra
            if path[-1] == "disabledAlerts":
                one["items"] = {"enum": alerts()}
            one["default"] = yaml.safe_load(yaml.serialize(node))
        parent["properties"][path[-1]] = one
    root["properties"] |= {
        "enabled": {"type": "boolean", "description": "For a parent chart's condition; not used here."},
        "global": {"type": "object", "description": "Of a parent chart; not used here."},
    }
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def alerts():
    """Names of all alerts."""
    return sorted(re.findall(r"^ *- alert: (\w+)$", (CHART / "files/rules.yaml").read_text(), re.M))


def table_of(entries, lines):
    """README.md's tables, one a section."""
    out, section = [], None
    sections = [(at, line.removeprefix("## ").strip()) for at, line in enumerate(lines) if line.startswith("## ")]
    for path, node, text, extra, line in entries:
        if not is_leaf(node, extra):
            continue
        now = [name for at, name in sections if at < line][-1]
        if now != section:
            section = now
            out += ["", f"### {section}", "", "| Value | Default | |", "| --- | --- | --- |"]
        default = json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False)
        cells = [f"`{'.'.join(path)}`", f"`{default}`", text]
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(out[1:]) + "\n"


def readme_of(table):
    begin, end = "<!-- values: made by scripts/chart.py -->\n", "<!-- end of values -->\n"
    text = (CHART / "README.md").read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise Bad(f"README.md: the table stands between {begin.strip()} and {end.strip()}")
    head, rest = text.split(begin)
    return head + begin + "\n" + table + "\n" + end + rest.split(end)[1]


def template_of(crd):
    """A CRD as a template: guarded, labelled, kept on uninstall."""
    text = crd.read_text()
    if "{{" in text:
        text = text.replace("{{", '{{ "{{" }}')
    head = re.compile(r"^metadata:\n  name: \S+\n", re.MULTILINE)
    if len(head.findall(text)) != 1:
        raise Bad(f"{crd.name}: metadata is not just a name")
    more = """  labels:
    {{- include "automl-operator.labels" . | nindent 4 }}
  {{- with include "automl-operator.crdAnnotations" . }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
"""
    text = head.sub(lambda found: found.group() + more, text)
    note = f"{{{{- /* Made by scripts/chart.py of crds/{crd.name}. */ -}}}}\n"
    return f"{note}{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"


def chart_of():
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    text = (CHART / "Chart.yaml").read_text()
    return re.sub(r"^appVersion: .*$", f'appVersion: "{version}"', text, flags=re.MULTILINE)


def wanted():
    """Path and text of each made file; None: it should not exist."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    entries = list(walk(yaml.compose("\n".join(lines) + "\n"), lines))
    files = {
        CHART / "values.schema.json": schema_of(entries),
        CHART / "README.md": readme_of(table_of(entries, lines)),
        CHART / "Chart.yaml": chart_of(),
    }
    files |= {path: None for path in (CHART / "templates/crds").glob("*.yaml")}
    files |= {CHART / "templates/crds" / crd.name: template_of(crd) for crd in sorted(ROOT.glob("crds/*.yaml"))}
    return files


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    check = bool(arguments)
    try:
        files = wanted()
    except Bad as bad:
        sys.exit(f"chart.py: {bad}")
    stale = [path for path, text in files.items() if text != (path.read_text() if path.exists() else None)]
    for path in stale:
        print(f"chart.py: {path.relative_to(ROOT)} {'is stale: run scripts/chart.py' if check else 'written'}")
        if not check and files[path] is None:
            path.unlink()
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
