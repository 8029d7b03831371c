from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config, PyFileConfigLoader

from scalablehub.dask.commands import command_in_image
from scalablehub.dask.gateway import AUTHENTICATOR, BACKEND, configure
from scalablehub.errors import PublicError

KUBE = "dask_gateway_server.backends.kubernetes.KubeBackend"
JUPYTERHUB = "dask_gateway_server.auth.JupyterHubAuthenticator"
# What dask-gateway's chart writes before `gateway.extraConfig`.
CHART = f"""
c.DaskGateway.log_level = "INFO"
c.DaskGateway.address = ":8000"
c.KubeBackend.api_url = "http://api-dask-gateway.hub:8000/api"
c.DaskGateway.backend_class = "{KUBE}"
c.KubeBackend.gateway_instance = "dask-gateway"
for field, value in {{"image_pull_policy": "IfNotPresent", "scheduler_cores": 0.5}}.items():
    setattr(c.KubeClusterConfig, field, value)
c.DaskGateway.authenticator_class = "{JUPYTERHUB}"
c.DaskGateway.JupyterHubAuthenticator.jupyterhub_api_url = "http://hub:8081/base/hub/api"
"""
EXTRA = "from scalablehub.dask.gateway import configure\nconfigure(c)\n"


def load(folder: Path, text: str = CHART + EXTRA) -> Config:
    (folder / "dask_gateway_config.py").write_text(text)
    return PyFileConfigLoader("dask_gateway_config.py", path=str(folder)).load_config()


def test_two_lines_after_the_charts_own_replace_backend_and_authenticator(tmp_path: Path) -> None:
    c = load(tmp_path)
    assert (c.DaskGateway.backend_class, c.DaskGateway.authenticator_class) == (BACKEND, AUTHENTICATOR)
    assert c.KubeClusterConfig.scheduler_cmd == command_in_image("scheduler")
    assert c.KubeClusterConfig.worker_cmd == command_in_image("worker")


def test_what_the_chart_set_stays(tmp_path: Path) -> None:
    with_ours, alone = load(tmp_path), load(tmp_path, CHART)
    with_ours.KubeClusterConfig.pop("scheduler_cmd")
    with_ours.KubeClusterConfig.pop("worker_cmd")
    with_ours.DaskGateway.update({"backend_class": KUBE, "authenticator_class": JUPYTERHUB})
    assert with_ours == alone


def test_called_twice_it_changes_nothing_more(tmp_path: Path) -> None:
    assert load(tmp_path, CHART + EXTRA + EXTRA) == load(tmp_path)


@pytest.mark.parametrize("section", ["ClusterConfig", "KubeClusterConfig"])
def test_commands_of_the_admin_stay(tmp_path: Path, section: str) -> None:
    c = load(tmp_path, f"{CHART}c.{section}.worker_cmd = ['mine']\n{EXTRA}")
    assert c[section].worker_cmd == ["mine"]
    assert ("worker_cmd" in c.KubeClusterConfig) == (section == "KubeClusterConfig")
    assert c.KubeClusterConfig.scheduler_cmd == command_in_image("scheduler")


def test_a_value_that_was_only_looked_at_is_not_set(tmp_path: Path) -> None:
    c = load(tmp_path, f"{CHART}c.ClusterConfig.worker_cmd\n{EXTRA}")
    assert c.KubeClusterConfig.worker_cmd == command_in_image("worker")


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        (
            "backend_class",
            "dask_gateway_server.backends.local.UnsafeLocalBackend",
            "DaskGateway.backend_class is 'dask_gateway_server.backends.local.UnsafeLocalBackend', which "
            "scalablehub cannot replace. Use it in Kubernetes, as dask-gateway's chart does, or make it a "
            f"subclass of {BACKEND}.",
        ),
        ("backend_class", "their.Backend", "DaskGateway.backend_class is 'their.Backend', which"),
        ("backend_class", None, "DaskGateway.backend_class is not set, which"),
        (
            "authenticator_class",
            "dask_gateway_server.auth.SimpleAuthenticator",
            "Set gateway.auth.type to 'jupyterhub' in the chart's values, or make it a subclass of",
        ),
        ("authenticator_class", None, "DaskGateway.authenticator_class is not set, which"),
    ],
)
def test_what_ours_cannot_replace_is_refused_with_what_to_do(
    tmp_path: Path, trait: str, value: str | None, words: str
) -> None:
    with pytest.raises(PublicError) as refusal:
        load(tmp_path, f"{CHART}c.DaskGateway.{trait} = {value!r}\n{EXTRA}")
    assert words in refusal.value.message
    assert refusal.value.code == "gateway-foreign"


def test_stock_classes_are_replaced_as_names_and_as_classes() -> None:
    from dask_gateway_server.auth import JupyterHubAuthenticator
    from dask_gateway_server.backends.kubernetes import KubeBackend

    c = Config()
    c.DaskGateway.update({"backend_class": KubeBackend, "authenticator_class": JupyterHubAuthenticator})
    configure(c)
    assert (c.DaskGateway.backend_class, c.DaskGateway.authenticator_class) == (BACKEND, AUTHENTICATOR)


def test_subclasses_of_ours_stay() -> None:
    from scalablehub.dask.authenticator import ScalableHubAuthenticator
    from scalablehub.dask.kubernetes import ScalableKubeBackend

    class Theirs(ScalableKubeBackend):
        pass

    class TheirAuthenticator(ScalableHubAuthenticator):
        pass

    c = Config()
    c.DaskGateway.update({"backend_class": Theirs, "authenticator_class": TheirAuthenticator})
    configure(c)
    assert (c.DaskGateway.backend_class, c.DaskGateway.authenticator_class) == (Theirs, TheirAuthenticator)


def test_the_real_server_starts_with_the_charts_file(tmp_path: Path) -> None:
    """As far as without Kubernetes: classes and what they read of the chart's configuration."""
    (tmp_path / "dask_gateway_config.py").write_text(CHART + EXTRA)
    code = """
import json
from dask_gateway_server.app import DaskGateway
app = DaskGateway()
app.initialize(["--config", "dask_gateway_config.py"])
backend, authenticator = app.backend, app.authenticator
print(json.dumps([
    type(backend).__name__, backend.gateway_instance, backend.api_url,
    type(authenticator).__name__, authenticator.jupyterhub_api_url, authenticator.jupyterhub_api_token,
    authenticator.jupyterhub_service_name, authenticator.cache_max_age,
    backend.cluster_config_class(parent=backend).scheduler_cores,
]))
"""
    # The token is in the environment of the chart's pod, and the name of a service is not.
    environment: dict[str, Any] = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"JUPYTERHUB_API_TOKEN": "charts"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        *("ScalableKubeBackend", "dask-gateway", "http://api-dask-gateway.hub:8000/api"),
        *("ScalableHubAuthenticator", "http://hub:8081/base/hub/api", "charts", "dask-gateway", 0),
        0.5,
    ]
