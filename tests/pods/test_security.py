"""Held against the checks of k8s.io/pod-security-admission."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from scalablehub.pods import CONTAINER_SECURITY_CONTEXT, POD_SECURITY_CONTEXT, restrict, weaknesses


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod with one container, and with what is given in its spec or in the container."""
    return {"spec": {"containers": [{"name": "notebook"} | (container or {})]} | spec}


def context(**words: Any) -> dict[str, Any]:
    return {"securityContext": words}


def fit(**words: Any) -> dict[str, Any]:
    return restrict(pod(**words))


def test_a_pod_that_asks_for_nothing_gets_no_rights() -> None:
    assert restrict(pod(initContainers=[{"name": "first"}])) == {
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": [
                {
                    "name": "first",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "containers": [
                {
                    "name": "notebook",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        }
    }


@pytest.mark.parametrize(
    "asked",
    [
        pod(),
        pod(securityContext=None),
        pod({"securityContext": None}),
        pod(initContainers=None),
        pod(securityContext={"fsGroup": 100, "seccompProfile": None}),
        pod(context(runAsUser=1000, capabilities=None)),
        pod(context(capabilities={"drop": ["NET_RAW"]})),
        pod(context(capabilities={"add": ["NET_BIND_SERVICE"]})),
        pod(context(seccompProfile={"type": "Localhost", "localhostProfile": "x"})),
        pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
        pod(securityContext={"seLinuxOptions": {"level": "s0:c1", "type": "container_t"}}),
        pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
        pod(volumes=[{"name": "a", "persistentVolumeClaim": {}}, {"name": "b", "emptyDir": {}}]),
        pod(volumes=[{"name": "a", "hostPath": None, "image": {"reference": "x"}}]),
        pod({"ports": [{"containerPort": 8888}]}),
        pod({"livenessProbe": {"httpGet": {"port": 1}}, "lifecycle": {"preStop": {"exec": {}}}}),
        pod(hostNetwork=False),
    ],
    ids=lambda asked: str(asked["spec"])[:60],
)
def test_what_the_standard_admits_is_made_fit(asked: dict[str, Any]) -> None:
    assert list(weaknesses(restrict(asked))) == []


@pytest.mark.parametrize(
    ("asked", "weakness"),
    [
        (pod(hostNetwork=True), "spec.hostNetwork is true"),
        (pod(hostPID=True), "spec.hostPID is true"),
        (pod(hostIPC=True), "spec.hostIPC is true"),
        (pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}]), "spec.volumes[a] is a hostPath"),
        (pod(volumes=[{"name": "a", "nfs": {}}]), "spec.volumes[a] is a nfs"),
        (pod(securityContext={"runAsUser": 0}), "spec.securityContext.runAsUser is 0"),
        (pod(securityContext={"runAsNonRoot": False}), "spec.securityContext.runAsNonRoot is false"),
        (
            pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            "spec.securityContext.seccompProfile is Unconfined",
        ),
        (
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            "spec.securityContext.sysctls sets kernel.msgmax",
        ),
        (
            pod(securityContext={"seLinuxOptions": {"type": "spc_t"}}),
            "spec.securityContext.seLinuxOptions.type is spc_t",
        ),
        (
            pod(securityContext={"windowsOptions": {"hostProcess": True}}),
            "spec.securityContext.windowsOptions.hostProcess is true",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_pod_asks_for_beyond_the_standard_is_named(asked: dict[str, Any], weakness: str) -> None:
    assert weakness in list(weaknesses(restrict(asked)))


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(
    ("asked", "weakness"),
    [
        (context(privileged=True), ".securityContext.privileged is true"),
        (context(runAsUser=0), ".securityContext.runAsUser is 0"),
        (context(runAsNonRoot=False), ".securityContext.runAsNonRoot is false"),
        (
            context(allowPrivilegeEscalation=True),
            ".securityContext.allowPrivilegeEscalation is not false",
        ),
        (
            context(capabilities={"add": ["SYS_ADMIN", "NET_ADMIN"]}),
            ".securityContext.capabilities adds NET_ADMIN, SYS_ADMIN",
        ),
        (context(procMount="Unmasked"), ".securityContext.procMount is Unmasked"),
        (
            context(appArmorProfile={"type": "Unconfined"}),
            ".securityContext.appArmorProfile is Unconfined",
        ),
        (context(seLinuxOptions={"user": "root"}), ".securityContext.seLinuxOptions.user is set"),
        ({"ports": [{"containerPort": 80, "hostPort": 80}]}, ".ports has a hostPort"),
        (
            {"readinessProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 1}}},
            " asks another host in a probe or hook",
        ),
        (
            {"lifecycle": {"postStart": {"httpGet": {"host": "127.0.0.1", "port": 1}}}},
            " asks another host in a probe or hook",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_container_asks_for_beyond_the_standard_is_named(
    kind: str, asked: dict[str, Any], weakness: str
) -> None:
    found = restrict(pod(**{kind: [{"name": "x"} | asked]}))
    assert list(weaknesses(found)) == [f"spec.{kind}[x]{weakness}"]


def test_a_pod_that_was_not_made_fit_is_told_everything() -> None:
    assert list(weaknesses(pod())) == [
        "spec.containers[notebook].securityContext.allowPrivilegeEscalation is not false",
        "spec.containers[notebook].securityContext.capabilities does not drop ALL",
        "spec.containers[notebook] may run as root",
        "spec.containers[notebook] has no seccompProfile",
    ]


def test_containers_that_are_no_root_need_no_word_of_the_pod() -> None:
    own = CONTAINER_SECURITY_CONTEXT | {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert list(weaknesses(pod({"securityContext": own}))) == []


@pytest.mark.parametrize("template", [{}, {"metadata": {"name": "x"}}, {"spec": {}}], ids=str)
def test_a_template_without_containers_gets_the_pods_context(template: dict[str, Any]) -> None:
    assert restrict(template)["spec"] == {"securityContext": POD_SECURITY_CONTEXT}


def test_the_pod_that_was_given_stays_as_it_was() -> None:
    asked = pod(context(capabilities={"drop": ["NET_RAW"]}), securityContext={"fsGroup": 100})
    before = deepcopy(asked)
    restrict(asked)
    assert asked == before


def test_the_contexts_of_two_pods_are_not_one() -> None:
    fit()["spec"]["securityContext"]["seccompProfile"]["type"] = "Unconfined"
    assert POD_SECURITY_CONTEXT["seccompProfile"] == {"type": "RuntimeDefault"}
    assert list(weaknesses(fit())) == []
