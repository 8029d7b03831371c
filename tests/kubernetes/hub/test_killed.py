"""Whatever of ours is killed: the same pods go on, work goes on, and nothing is left over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.hub.clusters import computes, pods, uids
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import GATEWAY, HUB, Person, ResearchHub
from tests.stack import until


def kill(kubectl: Kubectl, namespace: str, selector: str, pattern: str) -> None:
    """SIGKILL the process of a pod whose command line has the pattern, from inside its container."""
    (pod,) = kubectl.list("pods", namespace, selector)
    program = (
        "import os, pathlib, signal\n"
        "for folder in pathlib.Path('/proc').glob('[0-9]*'):\n"
        "    try: line = (folder / 'cmdline').read_bytes().replace(b'\\0', b' ').decode()\n"
        "    except OSError: continue\n"
        f"    if {pattern!r} in line and int(folder.name) != os.getpid() and ' - ' not in line:\n"
        "        print('killed', line, flush=True); os.kill(int(folder.name), signal.SIGKILL)\n"
    )
    # The container, and this program with it, may end with the process.
    said = kubectl.execute(pod["metadata"]["name"], namespace, "python3", "-c", program, check=False)
    assert "killed" in said, f"nothing like {pattern} in {pod['metadata']['name']}"


@pytest.mark.parametrize(
    ("namespace", "selector", "pattern"),
    [
        (HUB, "component=hub", "jupyterhub --config"),
        (HUB, "component=hub", "scalablehub.services.dask_gateway"),
        (GATEWAY, "app.kubernetes.io/component=gateway", "dask-gateway-server --config"),
        (GATEWAY, "app.kubernetes.io/component=controller", "kube-controller"),
    ],
    ids=["hub", "service", "gateway", "controller"],
)
def test_what_runs_goes_on(
    *,
    namespace: str,
    selector: str,
    pattern: str,
    cluster_of_alice: dict[str, Any],
    alice: Person,
    bob: Person,
    hub: ResearchHub,
) -> None:
    servers = uids([alice.pod(), bob.pod()])
    dask = uids(pods(hub.kubectl, cluster_of_alice))
    kill(hub.kubectl, namespace, selector, pattern)
    until(lambda: computes(alice), "alice computes on her cluster again", 120, pause_seconds=1)
    until(lambda: bob.call("GET", "user/bob/api/contents")[0] == 200, "bob's server answers", 60)
    assert uids([alice.pod(), bob.pod()]) == servers
    assert uids(pods(hub.kubectl, cluster_of_alice)) == dask


def test_traefik_killed_is_back_for_its_clusters(
    cluster_of_alice: dict[str, Any], alice: Person, hub: ResearchHub
) -> None:
    dask = uids(pods(hub.kubectl, cluster_of_alice))
    hub.kubectl(
        *("delete", "pod", "-n", GATEWAY, "-l", "app.kubernetes.io/component=traefik"),
        *("--grace-period=0", "--force"),
    )
    until(lambda: computes(alice), "alice computes on her cluster again", 120, pause_seconds=1)
    assert uids(pods(hub.kubectl, cluster_of_alice)) == dask
