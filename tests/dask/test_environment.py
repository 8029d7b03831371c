from __future__ import annotations

import dask.config
import pytest
from dask_gateway.client import format_template

from scalablehub.dask.cures import client_environment
from scalablehub.dask.environment import dask_environment
from scalablehub.decisions import DaskChoice, User, decide
from scalablehub.description import resolve
from tests.descriptions import described

ADDRESS = "http://hub/services/dask-gateway"
SCHEDULERS = "gateway://schedulers:8786"
PUBLIC = "https://hub.example.org/services/dask-gateway"


def dask_of(*groups: str) -> DaskChoice:
    return decide(resolve(described()), User("alice", frozenset(groups))).dask


def environment(
    *groups: str,
    address: str = ADDRESS,
    scheduler_address: str = SCHEDULERS,
    public_address: str = PUBLIC,
    image: str = "",
    server_path: str = "",
) -> dict[str, str]:
    return dask_environment(
        dask_of(*groups),
        address=address,
        scheduler_address=scheduler_address,
        public_address=public_address,
        image=image,
        server_path=server_path,
    )


def test_user_with_clusters_gets_everything_that_gateway_needs() -> None:
    assert environment("research") == {
        "DASK_GATEWAY__ADDRESS": "http://hub/services/dask-gateway",
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        "DASK_GATEWAY__PROXY_ADDRESS": "gateway://schedulers:8786",
        "DASK_GATEWAY__PUBLIC_ADDRESS": "https://hub.example.org/services/dask-gateway",
        "DASK_LABEXTENSION__FACTORY__MODULE": "dask_gateway",
        "DASK_LABEXTENSION__FACTORY__CLASS": "GatewayCluster",
        # The cure of TLS streams, which tests of its own have.
        **client_environment(),
    }


@pytest.mark.parametrize("groups", [(), ("staff",)], ids=["no group", "another group"])
def test_user_without_clusters_gets_nothing(groups: tuple[str, ...]) -> None:
    assert environment(*groups) == {}


def test_hub_without_an_address_gives_nothing() -> None:
    assert environment("research", address="") == {}


@pytest.mark.parametrize("image", ["geo", "2026", "1e5", "0x1f", "true", "none", "null", "a-b"])
def test_clusters_have_the_image_of_the_server_by_default(image: str) -> None:
    read = dask.config.collect_env(environment("research", image=image))
    assert format_template(read["gateway"]["cluster"]["options"]["image"]) == image


@pytest.mark.parametrize(
    ("public_address", "server_path", "address"),
    [
        (PUBLIC, "/user/al/", f"{PUBLIC}/of/user/al/proxy"),
        (f"{PUBLIC}/", "/hub/user/a%40b/second/", f"{PUBLIC}/of/hub/user/a%40b/second/proxy"),
        (PUBLIC, "", None),
        ("/services/dask-gateway", "/user/al/", None),
    ],
    ids=["server", "named server", "no server", "the hub's address is not known"],
)
def test_the_panel_shows_dashboards_at_addresses_as_of_the_server(
    public_address: str, server_path: str, address: str | None
) -> None:
    read = dask.config.collect_env(
        environment("research", public_address=public_address, server_path=server_path)
    )
    assert read["labextension"]["factory"].get("kwargs") == (address and {"public_address": address})


@pytest.mark.parametrize(
    ("left_out", "variable"),
    [
        ("scheduler_address", "DASK_GATEWAY__PROXY_ADDRESS"),
        ("public_address", "DASK_GATEWAY__PUBLIC_ADDRESS"),
    ],
)
def test_address_that_is_not_known_is_left_to_the_client(left_out: str, variable: str) -> None:
    assert environment("research").keys() - environment("research", **{left_out: ""}).keys() == {variable}
