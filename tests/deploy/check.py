"""What the tools of their makers say of the files in deploy/; prints nothing when all is well.

Usage: check.py FOLDER
"""

import io
import subprocess
import sys
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

HASH = "a" * 64
FILE = {
    "adminKeySha256": HASH,
    "config": {
        "topics": {"orders": {}},
        "keys": [{"id": "b", "sha256": HASH, "owner": "o", "scopes": ["read"]}],
    },
}
DATABASE = {
    "adminKeySha256": HASH,
    "replicas": 3,
    "store": {"kind": "postgres", "postgres": {"secretName": "database"}},
    "env": [{"name": "SECRET", "value": "x"}],
    "nodeSelector": {"disk": "ssd"},
}
# What the schema of the chart has to refuse, by what it has to name.
REFUSED = {
    "adminKeySha256": {},
    "replicas": {"adminKeySha256": HASH, "replicas": 2},
    "secretName": {"adminKeySha256": HASH, "store": {"kind": "postgres"}},
    "replica": {"adminKeySha256": HASH, "replica": 1},
}

problems = []


def run(*command):
    """Runs a tool; whatever it says while it fails is a problem."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        problems.append(f"{Path(command[0]).name}: {done.stdout}{done.stderr}")


def chart(path):
    """Lints, renders and validates the chart, and tells what its schema lets through."""
    loaded = helm.Chart.load(path)
    kinds = {}
    for name, values in {"file": FILE, "database": DATABASE}.items():
        report = helm.lint(path, values)
        problems.extend(m["error"] for m in report["messages"] if m["severity"] > 1)
        loaded.validate_schema(values)
        kinds[name] = set()
        for template, text in loaded.render(values, name="relay", namespace="default").items():
            if template.endswith(".txt"):
                continue
            for manifest in yaml.safe_load_all(io.StringIO(text)):
                if manifest:
                    kubernetes_validate.validate(manifest, "1.30", strict=True)
                    kinds[name].add(manifest["kind"])
                    if manifest["kind"] == "ConfigMap":
                        given(manifest["data"]["milkrun.yaml"])
    expected = {
        "file": {"ConfigMap", "Service", "StatefulSet"},
        "database": {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget"},
    }
    if kinds != expected:
        problems.append(f"the chart renders {kinds}")
    for name, values in REFUSED.items():
        try:
            loaded.validate_schema(values)
            problems.append(f"the chart takes {values}")
        except helm.HelmError as error:
            if name not in str(error):
                problems.append(f"the chart refuses {values} without a word of {name}: {error}")


def given(text):
    """Hands what the chart writes to whoever called: the binary reads it."""
    number = len(list(folder.glob("*.yaml")))
    (folder / f"{number}.yaml").write_text(text)


folder = Path(sys.argv[1])
tools = Path(sys.executable).parent
run(str(tools / "hadolint"), "deploy/Dockerfile")
compose = [str(path) for path in sorted(Path("deploy").glob("compose*.yaml"))]
run(str(tools / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *compose)
workflows = [str(path) for path in sorted(Path(".github/workflows").glob("*.yml"))]
run(str(tools / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *workflows)
chart("deploy/helm/milkrun")
print("\n".join(problems), end="")
