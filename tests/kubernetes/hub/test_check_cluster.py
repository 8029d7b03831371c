"""`scalablehub check --measure` and `--dry-run` against real nodes, a real scheduler and real admission.

One node of several is a mere entry at the API server: it has a taint and a size, and no machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from scalablehub.cli import main
from scalablehub.description import Description, load_description, resolve
from scalablehub.measuring.capacities import is_of_system
from scalablehub.pods import added_up, quantity, requests_of
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import HUB, ResearchHub
from tests.stack import until

AGENTS, PACKED, SERVERS, STRICT = "check-agents", "check-packed", "check-servers", "check-strict"
IMAGE = "localhost/busybox:1"
MIB = 2**20
TAINT = {"key": "example.org/dedicated", "value": "others", "effect": "NoSchedule"}
TAINTED = "check-tainted"


class Printed(NamedTuple):
    """What a command ended with."""

    code: int
    output: str
    errors: str


class Admin:
    """Somebody at a terminal, who is signed in to the Kubernetes cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def check(self, description: Any, *arguments: str) -> Printed:
        """Run `scalablehub check` on a description, as YAML has it; here, since the start takes long."""
        output, errors = StringIO(), StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            code = main(
                [*self._check(description), "--kubeconfig", str(self._kubeconfig), *arguments],
            )
        return Printed(code, output.getvalue(), errors.getvalue())

    def check_outside(self, description: Any, *arguments: str) -> Printed:
        """Run it as the command that it is, with the kubeconfig in the environment."""
        command = [sys.executable, "-m", "scalablehub", *self._check(description), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"KUBECONFIG": str(self._kubeconfig)},
            timeout=120,
        )
        return Printed(done.returncode, done.stdout, done.stderr)

    def _check(self, description: Any) -> list[str]:
        file = self._kubeconfig.parent / "description.yaml"
        file.write_text(yaml.safe_dump(description))
        return ["check", "--config", str(file)]


@pytest.fixture(scope="module")
def admin(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Admin:
    kubeconfig = tmp_path_factory.mktemp("check") / "kubeconfig"
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    return Admin(kubeconfig)


@pytest.fixture(scope="module")
def node(kubectl: Kubectl) -> dict[str, Any]:
    """The node that pods run on."""
    found: dict[str, Any] = next(
        node
        for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
        if node["metadata"]["name"] != TAINTED
    )
    return found


def namespace(name: str, standard: str = "privileged") -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": standard}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def container(name: str, cpu: str, memory: str, command: str = "sleep 3600", **words: Any) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory}
    return {
        "name": name,
        "image": IMAGE,
        "command": ["sh", "-c", command],
        "resources": {"requests": requests},
        **words,
    }


@pytest.fixture(scope="module")
def agents(kubectl: Kubectl, small_images: None) -> Iterator[None]:
    """A DaemonSet with all that a scheduler counts: what runs before its container, and beside it."""
    labels = {"app": "agent"}
    spec = {
        "terminationGracePeriodSeconds": 0,
        "initContainers": [
            container("beside", "50m", "16Mi", restartPolicy="Always"),
            container("before", "300m", "8Mi", "true"),
        ],
        "containers": [container("agent", "150m", "64Mi")],
    }
    kubectl.apply(
        [
            namespace(AGENTS),
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "agent", "namespace": AGENTS},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
            },
        ]
    )
    kubectl("rollout", "status", "daemonset/agent", "-n", AGENTS, "--timeout=60s")
    yield
    kubectl("delete", "namespace", AGENTS)


def written(node: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a description of the node before anything was measured."""
    name = node["metadata"]["labels"]["kubernetes.io/hostname"]
    pool = {"cores": 1, "memory": "1G", "selector": {"kubernetes.io/hostname": name}}
    return {
        "ScalableHub": {
            "nodes": {"here": pool},
            "images": {"base": {"image": IMAGE}},
            "interfaces": {"lab": {"url": "/lab"}, "tree": {"url": "/tree"}},
            **sections,
        }
    }


def pasted(description: dict[str, Any], printed: Printed) -> dict[str, Any]:
    """Return the description with what was printed over it."""
    measured = yaml.safe_load(printed.output[printed.output.index("\nnodes:") :])
    raw = json.loads(json.dumps(description))
    raw["ScalableHub"]["nodes"]["here"] |= measured["nodes"]["here"]
    found: dict[str, Any] = raw
    return found


def loaded(description: dict[str, Any]) -> Description:
    return resolve(load_description(description["ScalableHub"]))


def pods_on(kubectl: Kubectl, node: dict[str, Any]) -> list[dict[str, Any]]:
    name = node["metadata"]["name"]
    found: list[dict[str, Any]] = json.loads(
        kubectl("get", "pods", "-A", "--field-selector", f"spec.nodeName={name}", "-o", "json")
    )["items"]
    return found


_ROW = re.compile(r"^  (\S+) +(\S+) +(\S+) \(\d+%\) +\S+ \(\d+%\) +(\S+) \(\d+%\)", re.M)


def test_what_is_measured_is_what_kubectl_counts(
    admin: Admin, agents: None, kubectl: Kubectl, node: dict[str, Any]
) -> None:
    of_users = {
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in pods_on(kubectl, node)
        if not is_of_system(pod)
    }
    printed = admin.check_outside(written(node), "--measure")
    assert printed.code == 0, printed.errors
    rows = _ROW.findall(kubectl("describe", "node", node["metadata"]["name"]))
    assert (AGENTS, "350m", "80Mi") in [(row[0], row[2], row[3]) for row in rows]
    system = [row for row in rows if (row[0], row[1]) not in of_users]
    gives = node["status"]["allocatable"]
    cores = quantity(gives["cpu"]) - sum((quantity(row[2]) for row in system), Decimal(0))
    memory = quantity(gives["memory"]) - sum((quantity(row[3]) for row in system), Decimal(0))

    pool = loaded(pasted(written(node), printed)).nodes["here"]
    assert pool.reserved is not None and pool.cores is not None and pool.memory is not None
    assert pool.cores == float(quantity(node["status"]["capacity"]["cpu"]))
    assert Decimal(repr(pool.cores)) - Decimal(repr(pool.reserved.cores)) == cores
    assert pool.memory - pool.reserved.memory == memory // MIB * MIB
    assert f"{AGENTS}/agent-" in next(
        line for line in printed.output.splitlines() if "DaemonSets take" in line
    )


@pytest.fixture
def packed(kubectl: Kubectl) -> Iterator[str]:
    kubectl.apply([namespace(PACKED)])
    yield PACKED
    kubectl("delete", "namespace", PACKED)


def test_a_node_is_filled_by_the_sizes_of_what_was_measured(
    admin: Admin, agents: None, kubectl: Kubectl, node: dict[str, Any], packed: str
) -> None:
    description = pasted(written(node), admin.check(written(node), "--measure"))
    description["ScalableHub"]["nodes"]["here"]["ladder"] = ["1/4", "1/2"]
    sizes = loaded(description).sizes
    # What other tests' people have there at the moment is a part of one of the four, or of one of the two.
    used = added_up(requests_of(pod) for pod in pods_on(kubectl, node) if not is_of_system(pod))
    for count in (4, 2):
        size = sizes[f"here-1-{count}"]
        cores, memory = Decimal(repr(size.cores)), Decimal(size.memory or 0)
        rest = (cores - used.get("cpu", Decimal(0)), memory - used.get("memory", Decimal(0)))
        if min(rest) > 0:
            break
    else:
        pytest.fail("people have more than half of the node")

    def pod(name: str, cores: Decimal, memory: Decimal) -> dict[str, Any]:
        main = container("server", str(cores), str(int(memory)))
        spec = {
            "nodeSelector": description["ScalableHub"]["nodes"]["here"]["selector"],
            "terminationGracePeriodSeconds": 0,
            "containers": [main],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": packed},
            "spec": spec,
        }

    whole = [pod(f"server-{number}", cores, memory) for number in range(1, count)]
    kubectl.apply([*whole, pod(f"server-{count}", *rest)])
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "-n", packed, "--timeout=60s")

    # A hundredth of a core more than is left by rounding: the node is full.
    kubectl.apply([pod("more", Decimal("0.01"), Decimal(MIB))])

    def why() -> str:
        status = kubectl.list("pods", packed)[0]["status"]
        found = next((one for one in status.get("conditions", []) if one["type"] == "PodScheduled"), {})
        return str(found.get("message", ""))

    until(lambda: "Insufficient cpu" in why(), "the scheduler says that one more has no room", 30)


@pytest.fixture(scope="module")
def tainted(kubectl: Kubectl) -> Iterator[None]:
    """A node with a taint, which is only an entry."""
    labels = {"example.org/check": "tainted"}
    kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": TAINTED, "labels": labels},
                "spec": {"taints": [TAINT]},
            }
        ]
    )
    has = {"cpu": "4", "memory": "16Gi", "pods": "10"}
    patch = {"status": {"capacity": has, "allocatable": has}}
    kubectl("patch", "node", TAINTED, "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    yield
    kubectl("delete", "node", TAINTED)


@pytest.fixture(scope="module")
def servers(kubectl: Kubectl) -> Iterator[str]:
    """A namespace for servers that lets little in."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "servers", "namespace": SERVERS},
        "spec": {"hard": {"requests.memory": "512Mi"}},
    }
    kubectl.apply([namespace(SERVERS, "restricted"), namespace(STRICT, "baseline"), quota])
    until(
        lambda: "hard" in ((kubectl.get("resourcequota", "servers", SERVERS) or {}).get("status") or {}),
        "the quota is counted",
        30,
    )
    yield SERVERS
    kubectl("delete", "namespace", SERVERS, STRICT)


def described(node: dict[str, Any], **sizes: Any) -> dict[str, Any]:
    """Return a description with three pools: the node, the one with a taint, and one without nodes."""
    raw = written(node)
    here = raw["ScalableHub"]["nodes"]["here"] | {"cores": 1, "memory": "1G", "reserved": {}}
    raw["ScalableHub"]["nodes"] = {
        "here": here,
        "tainted": {
            **{"cores": 4, "memory": "16G", "reserved": {}, "ladder": []},
            "selector": {"example.org/check": "tainted"},
        },
        "empty": {
            **{"cores": 4, "memory": "16G", "reserved": {}, "ladder": []},
            "selector": {"example.org/check": "empty"},
        },
    }
    tiny = {"cores": 0.1, "memory": "64M"}
    raw["ScalableHub"]["sizes"] = {name: tiny | size for name, size in sizes.items()}
    return raw


def test_choices_that_fit_are_told_so_and_nothing_is_made(
    admin: Admin, kubectl: Kubectl, node: dict[str, Any], servers: str
) -> None:
    description = described(node, small={"node": "here"}, away={"node": "empty"})
    printed = admin.check(description, "--dry-run", "--namespace", servers)
    assert printed.errors == ""
    assert (printed.code, printed.output.splitlines()) == (
        0,
        [
            f"4 choices, which 2 pods stand for, in the namespace '{servers}'.",
            "note: node pool 'empty' has no node at the moment; its sizes were held against the description "
            "alone.",
            "Every one of them is admitted, and fits a node.",
        ],
    )
    assert kubectl.list("pods", servers) == []


def test_a_size_that_can_never_run_is_named_with_the_reason(
    admin: Admin, node: dict[str, Any], servers: str, tainted: None
) -> None:
    description = described(
        node,
        small={"node": "here"},
        quota={"node": "here", "memory": "600M"},
        taint={"node": "tainted"},
    )
    printed = admin.check(description, "--dry-run", "--namespace", servers)
    assert printed.code == 1
    assert sorted(printed.errors.removeprefix("scalablehub: ").splitlines()) == [
        "ScalableHub.sizes.quota: can never be started: it asks for 600 MB, and the namespace's quota "
        "'servers' allows 512 MB in all; make it smaller, or raise that",
        "ScalableHub.sizes.taint: can never be scheduled: every node for it has a taint that it does not "
        "accept, such as example.org/dedicated=others:NoSchedule; write it in nodes.tainted.tolerations",
    ]


def test_a_taint_that_the_pool_accepts_is_no_obstacle(
    admin: Admin, node: dict[str, Any], servers: str, tainted: None
) -> None:
    description = described(node, taint={"node": "tainted"}, small={"node": "here"})
    description["ScalableHub"]["nodes"]["tainted"]["tolerations"] = [TAINT]
    printed = admin.check(description, "--dry-run", "--namespace", servers)
    assert (printed.code, printed.errors) == (0, "")


def test_a_size_that_is_larger_than_the_node_is_named(
    admin: Admin, node: dict[str, Any], servers: str
) -> None:
    cores = int(quantity(node["status"]["capacity"]["cpu"]))
    description = described(node, small={"node": "here"}, whole={"node": "here", "cores": cores})
    description["ScalableHub"]["nodes"]["here"]["cores"] = cores
    printed = admin.check(description, "--dry-run", "--namespace", servers)
    assert printed.code == 1
    assert printed.errors.startswith(
        f"scalablehub: ScalableHub.sizes.whole: can never be scheduled: it asks for {cores} cores, and a "
        "node of 'here' has "
    )


def test_pod_security_of_the_namespace_is_asked(admin: Admin, node: dict[str, Any], servers: str) -> None:
    description = described(node, small={"node": "here"})
    description["ScalableHub"]["images"]["root"] = {
        "image": IMAGE,
        "kubespawner_override": {"privileged": True, "allow_privilege_escalation": True},
    }
    values = {"hub": {"config": description | {"ScalableKubeSpawner": {"restricted": False}}}}
    values["singleuser"] = {"cloudMetadata": {"blockWithIptables": False}}
    printed = admin.check(values, "--dry-run", "--namespace", STRICT)
    assert printed.code == 1
    assert printed.errors.startswith(
        "scalablehub: ScalableHub.images.root: the namespace's Pod Security refuses it: "
    )
    assert "privileged=true" in printed.errors


def test_a_namespace_that_is_not_there_is_told(admin: Admin, node: dict[str, Any]) -> None:
    printed = admin.check(described(node, small={"node": "here"}), "--dry-run", "--namespace", "not-there")
    assert (printed.code, printed.errors) == (
        1,
        "scalablehub: There is no namespace 'not-there'; name that of the servers: --namespace.\n",
    )


@pytest.fixture(scope="module")
def guest(
    kubectl: Kubectl, cluster: Cluster, servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Admin]:
    """Somebody who may see nodes and pods when `check-viewers` is theirs, and make nothing."""
    rbac = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": "guest", "namespace": servers}
    kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "guest", "namespace": servers},
            },
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "check-viewers"},
                "rules": [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]}],
            },
            {
                **{"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding"},
                "metadata": {"name": "check-viewers"},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "check-viewers"},
                "subjects": [account],
            },
        ]
    )
    view = json.loads(cluster.kubeconfig.read_text())
    token = kubectl("create", "token", "guest", "-n", servers).strip()
    view["users"] = [{"name": user["name"], "user": {"token": token}} for user in view["users"]]
    kubeconfig = tmp_path_factory.mktemp("guest") / "kubeconfig"
    kubeconfig.write_text(json.dumps(view))
    yield Admin(kubeconfig)
    kubectl("delete", "clusterrolebinding,clusterrole", "check-viewers", "--ignore-not-found")


def test_rights_that_are_missing_are_named(
    guest: Admin, kubectl: Kubectl, node: dict[str, Any], servers: str
) -> None:
    description = described(node, small={"node": "here"})
    assert guest.check(description, "--measure").code == 0
    printed = guest.check(description, "--dry-run", "--namespace", servers)
    assert (printed.code, printed.errors) == (
        1,
        f"scalablehub: This account may not create pods in the namespace '{servers}'; whoever grants rights "
        "adds the verb 'create' on 'pods', or use another --context.\n",
    )
    kubectl("delete", "clusterrolebinding", "check-viewers")
    printed = guest.check(description, "--measure")
    assert (printed.code, printed.output) == (1, "")
    assert printed.errors.startswith("scalablehub: This account may not list ")
    assert "of the whole Kubernetes cluster; whoever grants rights adds the verb 'list' on " in printed.errors


def in_the_hubs_pod(hub: ResearchHub, question: str) -> str:
    """Return what the command says there, with the values that the hub runs with."""
    command = f"python3 -m scalablehub check --config /etc/jupyterhub/values/values.json {question} 2>&1"
    return hub.kubectl("exec", "deployment/hub", "-n", HUB, "--", "sh", "-c", command, check=False)


@pytest.fixture
def seeing_hub(hub: ResearchHub) -> Iterator[ResearchHub]:
    """The hub with the right to see nodes and pods, as the how-to gives it."""
    rbac, name = "rbac.authorization.k8s.io", "check-seeing-hub"
    rights = [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "hub", "namespace": HUB}],
        },
    ]
    hub.kubectl.apply(rights)
    yield hub
    hub.kubectl.delete(rights)


def test_in_the_hubs_own_pod_its_own_account_is_who_asks(hub: ResearchHub) -> None:
    printed = in_the_hubs_pod(hub, "--dry-run")
    assert printed.startswith("scalablehub: This account may not list "), printed


def test_the_hubs_own_pod_measures_and_tries_what_it_would_make(seeing_hub: ResearchHub) -> None:
    measured = in_the_hubs_pod(seeing_hub, "--measure")
    assert re.search(r"^standard: 1 node$", measured, re.M), measured
    assert re.search(r"^nowhere: no node is there, ", measured, re.M), measured
    assert f"{HUB}/hub-" in measured, "the hub's own pod is one of the system's"
    tried = in_the_hubs_pod(seeing_hub, "--dry-run").splitlines()
    assert tried[0].endswith(f" pods stand for, in the namespace '{HUB}'."), tried
    # The tests' description has one image that asks for rights, and all else can run.
    assert [line.split(": the hub refuses")[0] for line in tried if "ScalableHub." in line] == [
        "scalablehub: ScalableHub.images.rootly"
    ], tried
