"""The Kubernetes cluster of the tests does what a real one does, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster, ClusterError, Unsupported, containers, parts, up, write_image
from tests.kubernetes.cluster.build import version
from tests.kubernetes.cluster.policies import Rules, World, addresses_of_block, selects
from tests.kubernetes.cluster.settings import Settings
from tests.kubernetes.kubectl import Kubectl
from tests.stack import until

NAMESPACE, RESTRICTED = "cluster-tests", "cluster-tests-restricted"
IMAGE = "localhost/busybox:1"
PROJECT = Path(__file__).parents[2]

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, *command: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod of our image, as Pod Security `restricted` wants it."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": list(command),
        "securityContext": HARDENED,
        **spec.pop("container", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name} | (labels or {})},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def server(name: str) -> dict[str, Any]:
    """Return a pod that answers on port 8080, which it calls web."""
    return pod(
        *(name, "probe", "serve", ":8080"),
        container={"ports": [{"name": "web", "containerPort": 8080}]},
    )


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, small_images: None) -> Iterator[Kubectl]:
    """kubectl, with two namespaces of ours, a server and two clients."""
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig)
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl("delete", "namespace", NAMESPACE, RESTRICTED, "--ignore-not-found", "--wait")
    service = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": "web"}]}
    kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": RESTRICTED, "labels": {"team": "red"} | enforced},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": NAMESPACE},
                "spec": service,
            },
        ]
    )
    until(lambda: kubectl.get("serviceaccount", "default", RESTRICTED), "the service account", 30)
    until(lambda: kubectl.get("serviceaccount", "default", NAMESPACE), "the service account", 30)
    foreigner = pod("foreigner", "sleep", "3600")
    foreigner["metadata"]["namespace"] = RESTRICTED
    kubectl.apply(
        [server("server"), pod("friend", "sleep", "3600"), pod("stranger", "sleep", "3600"), foreigner]
    )
    for namespace in (NAMESPACE, RESTRICTED):
        kubectl("wait", "pod", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE, RESTRICTED, "--wait=false")


def address(kubectl: Kubectl, name: str) -> str:
    found = kubectl.get("pod", name, NAMESPACE)
    assert found
    return str(found["status"]["podIP"])


def test_node_is_ready(kubectl: Kubectl, own_cluster: Cluster) -> None:
    node = json.loads(kubectl("get", "node", own_cluster.node_name, "-o", "json"))
    assert {each["type"]: each["status"] for each in node["status"]["conditions"]} == {
        "Ready": "True",
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
    }
    assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{version()}"


def test_pod_finds_a_service_by_its_name(kubectl: Kubectl) -> None:
    service = kubectl.get("service", "web", NAMESPACE)
    assert service
    for name in ("web", f"web.{NAMESPACE}", f"web.{NAMESPACE}.svc.cluster.local"):
        found = kubectl("exec", "-n", NAMESPACE, "friend", "--", "probe", "resolve", name)
        assert found == f"{service['spec']['clusterIP']}\n"


@pytest.mark.usefixtures("own_cluster")  # others may reach the internet
def test_names_outside_the_cluster_are_refused_at_once(kubectl: Kubectl) -> None:
    began = time.monotonic()
    command = ("exec", "-n", NAMESPACE, "friend", "--", "probe", "resolve", "example.org")
    assert kubectl(*command, check=False) == ""
    assert time.monotonic() - began < 4


def test_exec_and_logs(kubectl: Kubectl) -> None:
    said = kubectl("exec", "-n", NAMESPACE, "-i", "friend", "--", "cat", given="word for word")
    assert said == "word for word"
    assert kubectl("exec", "-n", NAMESPACE, "friend", "--", "id", "-u") == "1000\n"
    kubectl("exec", "-n", NAMESPACE, "friend", "--", "probe", "reach", "web:80")
    asked = f"asked by {address(kubectl, 'friend')}:"
    until(lambda: asked in kubectl("logs", "-n", NAMESPACE, "server"), "a line of the server's log")


def test_volume_is_made_when_it_is_used_and_anybody_may_write(kubectl: Kubectl) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    writer = pod(
        *("writer", "sh", "-c", "echo kept > /home/file && cat /home/file"),
        restartPolicy="Never",
        volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
        container={"volumeMounts": [{"name": "home", "mountPath": "/home"}]},
    )
    kubectl.apply([claim, writer])
    kubectl(
        *("wait", "pod/writer", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    )
    bound = kubectl.get("pvc", "home", NAMESPACE)
    assert bound
    assert bound["status"]["phase"] == "Bound"
    assert bound["spec"]["storageClassName"], "there is no default StorageClass"
    assert kubectl("logs", "-n", NAMESPACE, "writer") == "kept\n"


def test_restricted_namespace_refuses_a_privileged_pod(kubectl: Kubectl) -> None:
    wanted = pod("mighty", "sleep", "1", container={"securityContext": {"privileged": True}})
    wanted["metadata"]["namespace"] = RESTRICTED
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted:latest": privileged'):
        kubectl.apply([wanted])


# Who may reach the server under which policy. `{friend}` stands for an address.
ANY_POD, SERVER, FRIEND = {}, {"matchLabels": {"app": "server"}}, {"matchLabels": {"app": "friend"}}
POLICIES = {
    "nobody comes in": (
        {"podSelector": SERVER, "policyTypes": ["Ingress"]},
        {"friend": False, "stranger": False, "foreigner": False},
    ),
    "one pod comes in": (
        {"podSelector": SERVER, "ingress": [{"from": [{"podSelector": FRIEND}]}]},
        {"friend": True, "stranger": False, "foreigner": False},
    ),
    "one pod does not get out": (
        {"podSelector": FRIEND, "policyTypes": ["Egress"]},
        {"friend": False, "stranger": True, "foreigner": True},
    ),
    "out to the server only": (
        {"podSelector": FRIEND, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": SERVER}]}]},
        {"friend": True, "stranger": True, "friend to API": False, "stranger to API": True},
    ),
    "another namespace comes in": (
        {
            "podSelector": SERVER,
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}}]}],
        },
        {"friend": False, "stranger": False, "foreigner": True},
    ),
    "a block with an exception comes in": (
        {
            "podSelector": SERVER,
            "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["{friend}/32"]}}]}],
        },
        {"friend": False, "stranger": True, "foreigner": True},
    ),
    "out to a block with an exception": (
        {
            "podSelector": ANY_POD,
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["{server}/32"]}}]}],
        },
        {"friend": False, "stranger": False, "foreigner": True, "friend to API": True},
    ),
    "in to a port by its name": (
        {
            "podSelector": SERVER,
            "ingress": [{"from": [{"podSelector": FRIEND}], "ports": [{"port": "web"}]}],
        },
        {"friend": True, "stranger": False},
    ),
    "out to a port by its name": (
        {
            "podSelector": FRIEND,
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"port": "web"}]}],
        },
        {"friend": True, "friend to API": False},
    ),
    "in to ports that are not the server's": (
        {"podSelector": SERVER, "ingress": [{"ports": [{"port": 8081, "endPort": 8090}]}]},
        {"friend": False, "stranger": False},
    ),
    "in to a range of ports, for one": (
        {
            "podSelector": SERVER,
            "ingress": [{"from": [{"podSelector": FRIEND}], "ports": [{"port": 8000, "endPort": 8090}]}],
        },
        {"friend": True, "stranger": False},
    ),
}


def reaches(kubectl: Kubectl, who: str) -> bool:
    """Whether a pod gets an answer from the server, or from the API server."""
    name, _, what = who.partition(" to ")
    namespace = RESTRICTED if name == "foreigner" else NAMESPACE
    place = _api(kubectl) if what else f"{address(kubectl, 'server')}:8080"
    # Who asks a service's address gets no answer.
    told = {"reached\n": True, "refused\n": False, "silent\n": False}
    probe = ("exec", "-n", namespace, name, "--", "probe", "reach", place)

    def asked() -> str:
        said = kubectl(*probe, check=False)
        return said if said in told else ""

    return told[until(asked, "the probe says it", 60)]


def _api(kubectl: Kubectl) -> str:
    """Return the address of the API server's service: a name needs a way to CoreDNS."""
    found = kubectl.get("service", "kubernetes", "default")
    assert found
    return f"{found['spec']['clusterIP']}:443"


@pytest.mark.parametrize("name", POLICIES)
def test_network_policy(kubectl: Kubectl, name: str) -> None:
    spec, expected = POLICIES[name]
    filled = json.dumps(spec)
    for known in ("friend", "server"):
        filled = filled.replace(f"{{{known}}}", address(kubectl, known))
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "tried", "namespace": NAMESPACE},
        "spec": json.loads(filled),
    }
    everybody = dict.fromkeys(expected, True)
    assert {who: reaches(kubectl, who) for who in expected} == everybody
    kubectl.apply([policy])
    try:
        # A policy is in force a moment after it was made, all of it at once.
        refused = next(who for who, may in expected.items() if not may)
        until(lambda: not reaches(kubectl, refused), f"the end of the way of {refused}", 10)
        assert {who: reaches(kubectl, who) for who in expected} == expected
    finally:
        kubectl("delete", "networkpolicy", "tried", "-n", NAMESPACE)
        until(lambda: reaches(kubectl, refused), f"the way of {refused}", 10)


@pytest.mark.usefixtures("own_cluster")  # Kubernetes lets others filter a moment later
def test_first_packet_of_a_pod_is_filtered(kubectl: Kubectl) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "locked-up", "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": {"locked": "up"}}, "policyTypes": ["Egress"]},
    }
    target = f"{address(kubectl, 'server')}:8080"
    kubectl.apply(
        [
            policy,
            *(
                pod(
                    f"{name}-{i}",
                    "sh",
                    "-c",
                    f"probe reach {target}; true",
                    labels=labels,
                    restartPolicy="Never",
                )
                for name, labels in (("locked", {"locked": "up"}), ("free", {"locked": "no"}))
                for i in range(4)
            ),
        ]
    )
    said = {}
    for name in ("locked", "free"):
        for i in range(4):
            kubectl(
                *("wait", f"pod/{name}-{i}", "-n", NAMESPACE, "--timeout=60s"),
                "--for=jsonpath={.status.phase}=Succeeded",
            )
            said.setdefault(name, []).append(kubectl("logs", "-n", NAMESPACE, f"{name}-{i}").strip())
    assert said == {"locked": ["refused"] * 4, "free": ["reached"] * 4}


def test_policies_survive_their_agent(kubectl: Kubectl, own_cluster: Cluster) -> None:
    spec = {"podSelector": SERVER, "policyTypes": ["Ingress"]}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "shut", "namespace": NAMESPACE},
        "spec": spec,
    }
    kubectl.apply([policy])
    try:
        until(lambda: not reaches(kubectl, "friend"), "the end of the way", 10)
        own_cluster.kill("policies")
        assert not reaches(kubectl, "friend")
        own_cluster.start("policies")
        assert not reaches(kubectl, "friend")
    finally:
        own_cluster.start("policies")
        kubectl("delete", "networkpolicy", "shut", "-n", NAMESPACE)
    until(lambda: reaches(kubectl, "friend"), "the way", 10)


def test_kubelet_that_died_comes_back_to_its_pods(kubectl: Kubectl, own_cluster: Cluster) -> None:
    before = kubectl.get("pod", "server", NAMESPACE)
    own_cluster.kill_kubelet()
    try:
        assert kubectl.get("pod", "server", NAMESPACE)
    finally:
        own_cluster.start("kubelet")
    # It learns of its pods a moment later.
    command = ("exec", "-n", NAMESPACE, "friend", "--", "id", "-u")
    until(lambda: kubectl(*command, check=False) == "1000\n", "a command in a pod", 30)
    after = kubectl.get("pod", "server", NAMESPACE)
    assert before and after
    assert [each["restartCount"] for each in after["status"]["containerStatuses"]] == [0]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_api_server_that_died_comes_back_with_what_it_knew(kubectl: Kubectl, own_cluster: Cluster) -> None:
    own_cluster.kill("apiserver")
    own_cluster.start("apiserver")
    assert kubectl.get("pod", "server", NAMESPACE)


def test_image_is_loaded_once(own_cluster: Cluster, tmp_path: Path) -> None:
    name, tar = "localhost/cluster-tests-file:1", tmp_path / "image.tar"
    digests = [
        write_image(tar, name, {"/etc/word": content}, {"User": "1000"})
        for content in (b"one", b"two", b"two")
    ]
    assert digests[0] != digests[1] == digests[2]
    own_cluster.load_image(tar, name)
    assert own_cluster.load_image(tar, name) is False
    write_image(tar, name, {"/etc/word": b"three"}, {"User": "1000"})
    assert own_cluster.load_image(tar, name) is True


def processes(settings: Settings) -> dict[str, str]:
    return {file.name: file.read_text() for file in settings.pids.iterdir()}


def test_second_up_starts_nothing(own_cluster: Cluster) -> None:
    settings = Settings.of_environment()
    before = processes(settings)
    assert set(before) >= {
        *("apiserver", "containerd", "controllers", "etcd", "kubelet", "policies", "proxy", "scheduler")
    }
    began = time.monotonic()
    assert up().kubeconfig == own_cluster.kubeconfig
    assert time.monotonic() - began < 5
    assert processes(settings) == before


def left_of(settings: Settings) -> dict[str, list[str]]:
    """Return what there is of a cluster on this machine."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    routes = json.loads(subprocess.run(["ip", "-j", "route"], capture_output=True, check=True).stdout)
    sockets = str(settings.containerd_socket).encode()
    shims = [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and sockets in _command_line(entry)
    ]
    return {
        "processes": [*map(str, containers.members(settings)), *shims],
        "mounts": containers.mounts(settings),
        "network namespaces": [settings.name] if settings.namespace.exists() else [],
        "links": [link["ifname"] for link in links if link["ifname"] == settings.host_link],
        "routes": [route["dst"] for route in routes if route["dst"] == str(settings.pod_network)],
        "cgroups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{settings.cgroup}")],
        "sockets": [str(settings.sockets)] if settings.sockets.exists() else [],
    }


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def run_command(*arguments: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.kubernetes.cluster", *arguments],
        cwd=PROJECT,
        env=os.environ | {"SCALABLEHUB_CLUSTER": name},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_clusters_side_by_side_and_nothing_is_left_of_the_second(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cluster-tests-second"
    first = Settings.of_environment()
    before = processes(first)
    monkeypatch.setenv("SCALABLEHUB_CLUSTER", name)
    second = Settings.of_environment()
    try:
        done = run_command("up", name=name)
        assert done.returncode == 0, done.stderr
        assert "names resolve, and volumes can be made" in done.stdout
        assert all(left_of(second).values())

        # What a crash took is started again; the rest goes on.
        etcd = (second.pids / "etcd").read_text()
        running = parts.Running(second)
        for part in ("apiserver", "containerd"):
            running.stop(part, signal.SIGKILL)
        done = run_command("up", name=name)
        assert done.returncode == 0, done.stderr
        assert "only a part of the cluster runs" in done.stdout
        assert (second.pids / "etcd").read_text() == etcd

        # As after a restart of the machine: nothing runs, and everything is in the way.
        for part in second.pids.iterdir():
            running.stop(part.name, signal.SIGKILL)
        done = run_command("up", name=name)
        assert done.returncode == 0, done.stderr

        done = run_command("down", "--wipe", name=name)
        assert done.returncode == 0, done.stderr
        assert f"the Kubernetes cluster {name} is down: 8 parts ended, its state is removed" in done.stdout
    finally:
        run_command("down", "--wipe", name=name)
    assert left_of(second) == {
        "processes": [],
        "mounts": [],
        "network namespaces": [],
        "links": [],
        "routes": [],
        "cgroups": [],
        "sockets": [],
    }
    assert not second.run.exists()
    assert processes(first) == before


def test_part_that_cannot_start_is_named_with_its_log_and_nothing_is_left(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cluster-tests-broken"
    monkeypatch.setenv("SCALABLEHUB_CLUSTER", name)
    settings = Settings.of_environment()
    # A file where etcd wants its folder.
    (settings.run / "etcd").mkdir(parents=True)
    (settings.run / "etcd" / "member").write_text("not a folder")
    try:
        done = run_command("up", name=name)
        assert done.returncode == 1
        assert done.stderr.strip().startswith("etcd has ended: ")
        assert done.stderr.strip().endswith(f"(log: {settings.logs / 'etcd.log'})")
        assert not any(left_of(settings).values())
    finally:
        run_command("down", "--wipe", name=name)


def test_without_root_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unsupported) as caught:
        up()
    assert str(caught.value) == (
        "The Kubernetes cluster of the tests needs root; set KUBECONFIG to use one that runs elsewhere."
    )


@pytest.mark.parametrize("name", ["Hub", "-hub", "hub-", "a" * 41, "hub/../x"])
def test_names_of_clusters_are_checked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SCALABLEHUB_CLUSTER", name)
    with pytest.raises(ClusterError, match="up to 40 small letters, digits and inner dashes"):
        Settings.of_environment()


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("", "", ("scalablehub", "10.250.0.1", "10.250.0.2", "10.246.0.0/24", "10.97.0.0/16", "10.97.0.10")),
        ("b", "7", ("b", "10.250.7.1", "10.250.7.2", "10.246.7.0/24", "10.98.7.0/24", "10.98.7.10")),
    ],
)
def test_addresses(monkeypatch: pytest.MonkeyPatch, name: str, index: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("SCALABLEHUB_CLUSTER", name)
    monkeypatch.setenv("SCALABLEHUB_CLUSTER_INDEX", index)
    found = Settings.of_environment()
    assert (
        found.name,
        str(found.host_address),
        str(found.node_address),
        str(found.pod_network),
        str(found.service_network),
        str(found.dns_address),
    ) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "hub"}}, True),
        ({"matchLabels": {"app": "hub", "tier": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "hub"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["hub"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "hub"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], expected: bool) -> None:
    assert selects(selector, {"app": "hub"}) is expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"cidr": "10.0.0.0/30"}, ["10.0.0.0/30"]),
        ({"cidr": "10.0.0.0/30", "except": ["10.0.0.1/32"]}, ["10.0.0.0/32", "10.0.0.2/31"]),
        ({"cidr": "10.0.0.0/30", "except": ["10.0.0.0/31", "10.0.0.3/32"]}, ["10.0.0.2/32"]),
        ({"cidr": "10.0.0.0/30", "except": ["10.0.0.0/30"]}, []),
        ({"cidr": "10.0.0.0/30", "except": ["192.168.0.0/16"]}, ["10.0.0.0/30"]),
        ({"cidr": "fd00::/8"}, []),
    ],
)
def test_blocks(block: dict[str, Any], expected: list[str]) -> None:
    assert sorted(map(str, addresses_of_block(block))) == expected


def test_pod_that_no_policy_selects_has_no_rules() -> None:
    world = World()
    world.pods["a", "b"] = {
        "metadata": {"namespace": "a", "name": "b", "uid": "1"},
        "spec": {},
        "status": {"podIP": "10.246.0.10", "phase": "Running"},
    }
    assert "10.246.0.10" not in Rules(world).text()
