"""`scalablehub check --image` where images run: in a pod of a namespace with the restricted standard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import Images
from tests.stack import until

NAMESPACE = "looking"


@pytest.fixture(scope="module")
def environment(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an admin whose kubectl is signed in to a restricted namespace."""
    kubeconfig = tmp_path_factory.mktemp("admin") / "kubeconfig"
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    kubectl = Kubectl(cluster.kubectl, kubeconfig)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}]
    )
    kubectl("config", "set-context", "--current", f"--namespace={NAMESPACE}")
    path = f"{cluster.kubectl.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"KUBECONFIG": str(kubeconfig), "PATH": path}


def checked(image: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Return how the command ended, and what it wrote."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "scalablehub", "check", "--image", image, "--using", "kubectl"),
            *("--jupyterhub", "5.5.0", "--dask-gateway", "2026.3.0"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=120,
    )


def check(image: str, environment: dict[str, str]) -> tuple[int, list[str]]:
    """Return the exit code, and the lines that the command prints."""
    done = checked(image, environment)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def subjects(lines: list[str], level: str) -> list[str]:
    return [line.split()[1] for line in lines if line.strip().startswith(level)]


def test_the_user_image_can_be_used(environment: dict[str, str], images: Images, kubectl: Kubectl) -> None:
    code, lines = check(images.user, environment)
    assert (code, lines[-1]) == (0, "The hub can use it."), lines
    assert {"jupyterhub-singleuser", "dask", "distributed", "dask-gateway", "JupyterLab"} <= set(
        subjects(lines, "fine")
    )
    assert kubectl.list("pods", NAMESPACE) == []


def test_an_image_without_what_servers_need_is_told_so(
    environment: dict[str, str], images: Images, kubectl: Kubectl
) -> None:
    code, lines = check(images.gateway, environment)
    assert code == 1
    assert set(subjects(lines, "missing")) == {"jupyter-server", "dask", "distributed", "dask-gateway"}, lines
    assert lines[-1].startswith("The hub cannot use it: ")
    assert kubectl.list("pods", NAMESPACE) == []


def test_an_image_that_is_not_there_is_told_soon_and_leaves_nothing(
    environment: dict[str, str], kubectl: Kubectl
) -> None:
    done = checked("localhost/none:1", environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("scalablehub: 'localhost/none:1' cannot be pulled: ")
    until(lambda: kubectl.list("pods", NAMESPACE) == [], "the pod is gone", 60)
