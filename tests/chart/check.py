"""Checks rendered charts, each a file NAME-VERSION.yaml: schemas of that Kubernetes, and rules of the house."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CRDS = {crd["metadata"]["name"]: crd for crd in map(yaml.safe_load, (f.read_text() for f in ROOT.glob("crds/*.yaml")))}
BOARDS = {
    file.stem: json.loads(file.read_text()) for file in ROOT.glob("charts/automl-operator/files/dashboards/*.json")
}  # fmt: skip
# Kinds that Kubernetes itself has no schema of.
FOREIGN = {"Experiment", "ServiceMonitor", "PodMonitor", "PrometheusRule", "GrafanaDashboard"}
CLUSTER = {
    "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
HOOKED = {"Experiment", "Pod"}


class Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """Refuses a key that is there twice: Helm 4 applies by the server, which does too."""


def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def schema_problems(item, version):
    if item["kind"] in FOREIGN:
        return
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"schema of {version}: {'.'.join(map(str, error.path))}: {error.message}"
    except Exception as error:  # its other errors share no class
        yield f"schema of {version}: {error!r}"


def pod_problems(pod):
    """What Pod Security "restricted" asks, and what we ask of our own."""
    outer = pod.get("securityContext", {})
    if not outer.get("runAsNonRoot") or not outer.get("runAsUser"):
        yield "may run as root"
    if outer.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    for container in pod["containers"]:
        inner = container.get("securityContext", {})
        if inner.get("allowPrivilegeEscalation") is not False or inner.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "may gain privileges"
        if not inner.get("readOnlyRootFilesystem"):
            yield "may write its root file system"


def rule_problems(rules):
    for rule in rules:
        if any("*" in values for values in rule.values()):
            yield f"a rule with *: {rule}"
        for resource in rule.get("resources", []):
            if resource in ("secrets", "pods/exec", "customresourcedefinitions", "serviceaccounts/token"):
                yield f"a right that the operator has no use for: {resource}"


def crd_problems(item):
    """As in crds/, but for labels and annotations."""
    metadata = item["metadata"]
    if metadata.get("annotations", {}).get("helm.sh/resource-policy") != "keep":
        yield "is not kept on uninstall"
    bare = {**item, "metadata": {"name": metadata["name"]}}
    if bare != CRDS.get(metadata["name"]):
        yield "is another than in crds/"


def problems(item, version):
    yield from schema_problems(item, version)
    kind, metadata = item["kind"], item["metadata"]
    if (kind in CLUSTER) == ("namespace" in metadata):
        yield "has a namespace or lacks one, and should not"
    if kind not in ("ConfigMap",) and "app.kubernetes.io/instance" not in metadata.get("labels", {}):
        yield "lacks our labels"
    if (kind in HOOKED) != ("helm.sh/hook" in metadata.get("annotations", {})):
        yield "is a hook, or is none and should be"
    if kind in ("Role", "ClusterRole"):
        yield from rule_problems(item["rules"])
    if kind == "CustomResourceDefinition":
        yield from crd_problems(item)
    if kind in ("Deployment", "Pod"):
        yield from pod_problems(item["spec"]["template"]["spec"] if kind == "Deployment" else item["spec"])


def whole_problems(items, version):
    """What objects say of each other."""
    by_kind = lambda kind: [item for item in items if item["kind"] == kind]  # noqa: E731
    roles = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in items}
    for item in by_kind("RoleBinding") + by_kind("ClusterRoleBinding"):
        role = item["roleRef"]
        if (role["kind"], item["metadata"].get("namespace"), role["name"]) not in roles:
            yield f"{item['metadata']['name']} binds no role of ours"
    maps = {(item["metadata"]["namespace"], item["metadata"]["name"]): item.get("data", {}) for item in by_kind("ConfigMap")}
    for item in by_kind("GrafanaDashboard"):
        named = item["spec"]["configMapRef"]
        if named["key"] not in maps.get((item["metadata"]["namespace"], named["name"]), {}):
            yield f"GrafanaDashboard {item['metadata']['name']} shows {named}, which is not there"
    for item in by_kind("ConfigMap"):
        name = item["metadata"]["name"]
        if "-dashboard-" not in name:
            continue
        board = name.rsplit("-dashboard-", 1)[1]
        if {key: json.loads(text) for key, text in item["data"].items()} != {f"automl-{board}.json": BOARDS[board]}:
            yield f"{name} holds another dashboard than files/dashboards/{board}.json"
        if not item["metadata"].get("labels", {}).get("grafana_dashboard"):
            yield f"{name} has no label by which Grafana's sidecar finds it"
    (deployment,), (service,) = by_kind("Deployment"), by_kind("Service")
    spec = deployment["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    for selector in (spec["selector"]["matchLabels"], service["spec"]["selector"]):
        if not selector.items() <= labels:
            yield f"{selector} does not select the operator's pods"
        for pod in by_kind("Pod"):
            if selector.items() <= pod["metadata"]["labels"].items():
                yield f"{selector} selects {pod['metadata']['name']}"
    (url,) = [a for a in spec["template"]["spec"]["containers"][0]["args"] if a.startswith("--report-url=")]
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    port = service["spec"]["ports"][0]["port"]
    if not re.fullmatch(rf"--report-url=http://{name}\.{namespace}\.svc(\.cluster\.local)?:{port}", url):
        yield f"{url} is not the Service's"
    known = version >= (1, 30)
    if by_kind("ValidatingAdmissionPolicy") and not known:
        yield "an admission policy for a Kubernetes that has none"
    if len({(i["kind"], i["metadata"].get("namespace"), i["metadata"]["name"]) for i in items}) != len(items):
        yield "an object is there twice"


def image_problems(pod):
    """The two ways to make the image agree, and with how the chart runs it: files, user, entrypoint."""
    stage = (ROOT / "Dockerfile").read_text().split("\nFROM scratch\n")[-1]
    script = (ROOT / "scripts/image.sh").read_text()
    first = lambda pattern, text: (re.search(pattern, text, re.M) or ["", ""])[1]  # noqa: E731
    copied = first(r"^COPY --from=build (.*) /$", stage).split()
    container, user = pod["containers"][0], pod["securityContext"]
    images = {
        "Dockerfile": (sorted(path.replace("/out/", "/") for path in copied), first(r"^USER (.*)$", stage),
                       json.loads(first(r"^ENTRYPOINT (.*)$", stage) or "null")),
        "scripts/image.sh": (sorted(re.findall(r'"(/[^"=]*)=', first(r"--layer (.*)", script))),
                             first(r"--user (\S+)", script), [first(r"--entrypoint (\S+)", script)]),
        "the chart": (["/automl", "/automl-agent"], f"{user['runAsUser']}:{user['runAsGroup']}", container["command"]),
    }  # fmt: skip
    for name, image in images.items():
        if image != images["the chart"]:
            yield f"{name} has {image}, the chart {images['the chart']}"


def main(paths):
    found, checked, seen = [], 0, set()
    for path in map(Path, paths):
        name, version = path.stem.rsplit("-", 1)
        try:
            items = [item for item in yaml.load_all(path.read_text(), Loader) if item]
        except yaml.YAMLError as error:
            found.append(f"{name}, {version}: {error}")
            continue
        for item in items:
            # What is the same in several renders is looked at once.
            key = (version, yaml.dump(item, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
            if key in seen:
                continue
            seen.add(key)
            checked += 1
            label = f"{name}, {version}: {item['kind']} {item['metadata']['name']}"
            found += [f"{label}: {problem}" for problem in problems(item, version)]
        numbers = tuple(map(int, version.split(".")))
        found += [f"{name}, {version}: {problem}" for problem in whole_problems(items, numbers)]
        if name == "defaults":
            (deployment,) = [item for item in items if item["kind"] == "Deployment"]
            found += [f"image: {problem}" for problem in image_problems(deployment["spec"]["template"]["spec"])]
        if name == "defaults" and {i["metadata"]["name"] for i in items if i["kind"] == "CustomResourceDefinition"} != CRDS.keys():
            found.append(f"{name}, {version}: not every CustomResourceDefinition is there")
    print("\n".join(found) or f"check.py: {checked} objects of {len(paths)} renders are as they must be")
    return int(bool(found) or not paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
