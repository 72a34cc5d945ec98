#!/usr/bin/env python3
"""Compares what the operator may do with what it did: each right is used, and nothing else was tried.

  rbac.py AUDIT_LOG NAMESPACE SERVICE_ACCOUNT

The rights are those that roles of the cluster of KUBECONFIG give to the ServiceAccount, the uses stand in the API server's audit
log of a run of all scenarios. A right that no request used, and a request that no right of the chart allows, refused ones
included, are each a line and an exit code of 1.
"""

import json
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

# Rights that no request shows, and why they are needed.
UNSEEN = {
    ("automl.dev", "experiments/finalizers", "update"): "asked for by an admission plugin when a Trial names its owner",
    ("automl.dev", "trials/finalizers", "update"): "asked for by an admission plugin when a Job names its owner",
    ("automl.dev", "trials", "delete"): "asked for by an admission plugin when a Trial that was made by hand gets its owner",
}


class Right(NamedTuple):
    """One verb on one resource. `namespace` None: in all; `names` empty: of any name."""

    group: str
    resource: str
    verb: str
    namespace: str | None
    names: frozenset[str]

    def allows(self, use):
        return (
            (self.group, self.resource, self.verb) == (use.group, use.resource, use.verb)
            and self.namespace in (None, use.namespace)
            and (not self.names or use.name in self.names)
        )

    def __str__(self):
        names = f" named {', '.join(sorted(self.names))}" if self.names else ""
        return f"{self.verb} {self.resource}.{self.group}{names} in {self.namespace or 'all namespaces'}"


class Use(NamedTuple):
    """What one request asked for."""

    group: str
    resource: str
    verb: str
    namespace: str
    name: str
    allowed: bool


def listed(kind):
    """All objects of a kind."""
    out = subprocess.run(["kubectl", "get", kind, "--all-namespaces", "--output=json"], capture_output=True, check=True)
    return json.loads(out.stdout)["items"]


def rights(namespace, account):
    """What roles give to the ServiceAccount itself; what every account may do is not the chart's."""
    subject = ("ServiceAccount", namespace, account)
    roles = {(role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"]): role.get("rules") or []
             for role in listed("roles") + listed("clusterroles")}  # fmt: skip
    for binding in listed("rolebindings") + listed("clusterrolebindings"):
        subjects = binding.get("subjects") or []
        if subject not in [(each["kind"], each.get("namespace"), each["name"]) for each in subjects]:
            continue
        where = binding["metadata"].get("namespace")
        role = binding["roleRef"]
        for rule in roles[role["kind"], where if role["kind"] == "Role" else None, role["name"]]:
            for group in rule.get("apiGroups", []):
                for resource in rule.get("resources", []):
                    for verb in rule["verbs"]:
                        yield Right(group, resource, verb, where, frozenset(rule.get("resourceNames", [])))


def uses(log, namespace, account):
    """Each request for a resource by this ServiceAccount, with how often it was made."""
    counted = Counter()
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # an API server that is killed may leave half a line, and the next one goes on behind it
            if event["user"]["username"] != f"system:serviceaccount:{namespace}:{account}" or "objectRef" not in event:
                continue
            # A quota or a namespace that is being deleted also says 403: that is no lack of a right.
            allowed = event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid"
            of = event["objectRef"]
            resource = "/".join(filter(None, (of["resource"], of.get("subresource"))))
            use = Use(of.get("apiGroup", ""), resource, event["verb"], of.get("namespace", ""), of.get("name", ""), allowed)
            counted[use] += 1
    return counted


def problems(granted, used):
    for right in granted:
        key = right[:3]
        if any(use.allowed and right.allows(use) for use in used):
            if key in UNSEEN:
                yield f"is used, so it does not belong to those that no request shows: {right}"
        elif key not in UNSEEN:
            yield f"granted, and never used: {right}"
    for key in UNSEEN.keys() - {right[:3] for right in granted}:
        yield f"is not granted, so it does not belong to those that no request shows: {' '.join(key)}"
    # What a right allows is refused all the same for a moment: the API server learns of a new binding a little later than
    # of the pod that uses it, and while a release is uninstalled its pod outlives its rights.
    strays = Counter()
    for use, count in used.items():
        if not any(right.allows(use) for right in granted):
            strays[use.verb, f"{use.resource}.{use.group}", "allowed by no right of ours" if use.allowed else "refused"] += count
    for (verb, resource, how), count in sorted(strays.items()):
        yield f"used {count} times, and not granted ({how}): {verb} {resource}"


def main(log, namespace, account):
    granted = sorted(set(rights(namespace, account)), key=str)
    used = uses(log, namespace, account)
    found = list(problems(granted, used))
    if not granted or not used:
        found.append(f"{len(granted)} rights of ServiceAccount {namespace}/{account}, {len(used)} uses: is that the right one?")
    for problem in found:
        print(f"rbac.py: {problem}", file=sys.stderr)
    if not found:
        print(f"rbac.py: {sum(used.values())} requests used all of {len(granted)} rights, but {len(UNSEEN)} that no request shows")
    return int(bool(found))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
