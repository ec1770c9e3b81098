"""Writes k8s/: what the chart renders with its defaults, for people without helm.

Owns the layout of k8s/ and what is left out of it: tests, which are hooks of helm, and the labels
that would say that helm looks after the objects. Invariant: the same chart gives the same bytes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from charts.helm import MISSING, ROOT, Helm, helms

FOLDER = ROOT / "k8s"
NAMESPACE = "becket"
SOURCE = re.compile(r"^# Source: becket/templates/(?P<path>.+)$")
HELMS_OWN = re.compile(r"^ +(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)$")
HEAD = "# Made by `make manifests` from charts/becket: change the chart instead.\n"
NAMESPACE_OBJECT = f"""{HEAD}apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def files(helm: Helm) -> dict[str, str]:
    """Name to content of each file of k8s/."""
    done = helm.template("--skip-tests", name="becket", namespace=NAMESPACE)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = {"namespace.yaml": NAMESPACE_OBJECT}
    for document in re.split(r"^---$", done.stdout, flags=re.MULTILINE):
        lines = document.strip().splitlines()
        source = SOURCE.match(lines[0]) if lines else None
        if source is None:
            continue
        kept = [line for line in lines[1:] if line.strip() and not HELMS_OWN.match(line)]
        if kept:
            found[source["path"]] = HEAD + "\n".join(kept) + "\n"
    listed = "".join(f"  - {name}\n" for name in sorted(found))
    found["kustomization.yaml"] = (
        f"{HEAD}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources:\n{listed}"
    )
    return found


def differences(wanted: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, other than they should be, or too many."""
    present = {path.name for path in folder.glob("*.yaml")}
    stale = {
        name
        for name in present & wanted.keys()
        if (folder / name).read_text(encoding="utf-8") != wanted[name]
    }
    return sorted(stale | (present ^ wanted.keys()))


def main() -> int:
    """Write k8s/; returns the exit code."""
    if not helms():
        print(MISSING, file=sys.stderr)
        return 2
    wanted = files(helms()[0])
    FOLDER.mkdir(exist_ok=True)
    for name in differences(wanted):
        (FOLDER / name).unlink(missing_ok=True)
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
