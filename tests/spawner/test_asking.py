"""What a pod has so that its processes can ask for keys: the same in a server's and in Dask's."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import Config

from scalablehub.pods import weaknesses
from tests.dask.test_pods import config as dask_config
from tests.dask.test_pods import pod as dask_pod
from tests.spawner.test_kubernetes import make, manifest

CREDENTIALS = {
    "address": "http://credentials.hub:8080",
    "s3": {"backend": "versity", "endpoint": "http://127.0.0.1:9000", "iam_endpoint": "http://iam"},
}
MOUNT = {"name": "scalablehub-credentials", "mountPath": "/var/run/secrets/scalablehub", "readOnly": True}
VOLUME = {
    "name": "scalablehub-credentials",
    "projected": {
        "sources": [
            {
                "serviceAccountToken": {
                    "audience": "scalablehub-credentials",
                    "expirationSeconds": 3600,
                    "path": "token",
                }
            }
        ]
    },
}


async def server(**sections: Any) -> dict[str, Any]:
    return await manifest(make("alice", "research", options={"image": "geo"}, **sections))


def scheduler(**sections: Any) -> dict[str, Any]:
    return dask_pod(dask_config(asks_for_keys=bool(sections), **sections), worker=False)


def worker(**sections: Any) -> dict[str, Any]:
    return dask_pod(dask_config(asks_for_keys=bool(sections), **sections), worker=True)


async def made(part: str, **sections: Any) -> dict[str, Any]:
    if part == "server":
        return await server(**sections)
    return {"scheduler": scheduler, "worker": worker}[part](**sections)


PARTS = pytest.mark.parametrize("part", ["server", "scheduler", "worker"])


@PARTS
async def test_it_has_a_token_for_the_service_alone(part: str) -> None:
    spec = (await made(part, credentials=CREDENTIALS))["spec"]
    assert VOLUME in spec["volumes"]
    assert [MOUNT in container["volumeMounts"] for container in spec["containers"]] == [True]
    assert spec["automountServiceAccountToken"] is False


@PARTS
async def test_the_forwarder_is_a_container_beside_it_in_its_own_image(part: str) -> None:
    pod = await made(part, credentials=CREDENTIALS)
    (forwarder,) = pod["spec"]["initContainers"]
    assert (forwarder["restartPolicy"], forwarder["image"]) == ("Always", "quay.io/hub/geo:1")
    assert forwarder["command"] == ["python3", "-I", "-c"]
    assert forwarder["args"][1:] == [
        "10102",
        "http://credentials.hub:8080",
        "/var/run/secrets/scalablehub/token",
    ]
    assert forwarder["volumeMounts"] == [MOUNT]
    assert list(weaknesses(pod)) == []


@PARTS
async def test_nothing_is_promised_to_the_forwarder(part: str) -> None:
    (forwarder,) = (await made(part, credentials=CREDENTIALS))["spec"]["initContainers"]
    assert forwarder["resources"] == {
        "requests": {"cpu": "0", "memory": "0"},
        "limits": {"memory": "64Mi"},
    }


@PARTS
async def test_a_hub_without_credentials_gives_neither(part: str) -> None:
    spec = (await made(part))["spec"]
    assert "initContainers" not in spec
    assert "scalablehub-credentials" not in str(spec)


async def test_who_has_no_bucket_of_the_service_asks_for_nothing() -> None:
    spec = (await server(credentials=CREDENTIALS, buckets={}))["spec"]
    assert "initContainers" not in spec
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in str(spec)


async def test_the_forwarder_does_not_count_for_its_user() -> None:
    spawner = make("alice", options={"size": "small", "image": "geo"}, credentials=CREDENTIALS)
    await spawner.load_user_options()
    spawner._hold_as_made(await spawner.get_pod_manifest())
    assert spawner._amount is not None
    assert (spawner._amount.cores, spawner._amount.memory) == (0.875, 15 * 2**28)


async def test_the_forwarder_runs_as_the_servers_user() -> None:
    sections = {"credentials": CREDENTIALS}
    spawner = make("alice", options={"image": "geo"}, admins={"uid": 1234}, **sections)
    (forwarder,) = (await manifest(spawner))["spec"]["initContainers"]
    assert forwarder["securityContext"]["runAsUser"] == 1234


async def test_a_server_has_the_variables_and_no_key() -> None:
    (container,) = (await server(credentials=CREDENTIALS))["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://127.0.0.1:10102/aws/credentials"
    assert environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == "/var/run/secrets/scalablehub/token"
    assert not environment.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


async def test_what_an_admin_left_does_not_go_before_the_service() -> None:
    left = {"environment": {"AWS_ACCESS_KEY_ID": "old", "AWS_ROLE_ARN": "old", "KEPT": "yes"}}
    spawner = make("alice", options={"image": "geo"}, admins=left, credentials=CREDENTIALS)
    (container,) = (await manifest(spawner))["spec"]["containers"]
    names = {variable["name"] for variable in container["env"]}
    assert names & {"AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "KEPT"} == {"KEPT"}


async def test_containers_that_an_admin_runs_first_stay() -> None:
    first = {"init_containers": [{"name": "first", "image": "busybox:1"}]}
    spawner = make("alice", options={"image": "geo"}, admins=first, credentials=CREDENTIALS)
    containers = (await manifest(spawner))["spec"]["initContainers"]
    assert [container["name"] for container in containers] == ["scalablehub-credentials", "first"]


def test_the_gateways_own_volumes_stay_beside_it() -> None:
    admin = Config()
    admin.KubeClusterConfig.worker_extra_pod_config = {"volumes": [{"name": "data", "emptyDir": {}}]}
    made = dask_config(asks_for_keys=True, admin=admin, credentials=CREDENTIALS)
    volumes = dask_pod(made, worker=True, admin=admin)["spec"]["volumes"]
    assert {volume["name"] for volume in volumes} >= {"dask-credentials", "scalablehub-credentials", "data"}
