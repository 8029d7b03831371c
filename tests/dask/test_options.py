from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from dask_gateway_server.options import Options

from scalablehub.dask.options import cluster_options
from scalablehub.dask.owners import ServerImage
from scalablehub.decisions import Decision, ImageChoice, SizeChoice
from scalablehub.description import resolve
from tests.descriptions import described, written

KEYS = {"http://127.0.0.1:9000": {"access_key": "public", "secret_key": "private"}}
ALICE = SimpleNamespace(name="alice", groups=["research"], admin=False)
BOB = SimpleNamespace(name="bob", groups=["guests"], admin=False)
ADMIN = SimpleNamespace(name="root", groups=[], admin=True)
DASK = written()["dask"]


def commands(decision: Decision, size: SizeChoice, image: ImageChoice) -> dict[str, Any]:
    return {"worker_cmd": [f"/{decision.user.name}/{size.name}/{image.name}"]}


def options_of(user: Any, lacks: dict[str, str] | None = None, **sections: Any) -> Options:
    description = resolve(described(**sections))
    options: Options = cluster_options(
        description,
        lacks=lacks or {},
        bucket_keys=KEYS,
        commands=commands,
        environment={"OF_THE_ADMIN": "yes"},
    )(user)
    return options


def configuration(user: Any = ALICE, *, asked: dict[str, Any] | None = None, **sections: Any) -> Any:
    options = options_of(user, **sections)
    return options.get_configuration(options.parse_options(asked or {}), user)


def test_fields_are_the_size_the_image_and_the_environment() -> None:
    assert options_of(ALICE).get_specification() == [
        {
            "field": "worker_size",
            "label": "Worker size: small is 0.88 cores and 3.8 GB, large is 3.5 cores and 15 GB",
            "default": "small",
            "spec": {"type": "select", "options": ["small", "large"]},
        },
        {
            "field": "image",
            "label": "Environment",
            "default": "base",
            "spec": {"type": "select", "options": ["base", "geo"]},
        },
        {
            "field": "environment",
            "label": "Environment variables",
            "default": {},
            "spec": {"type": "mapping"},
        },
        {
            "field": "idle_timeout",
            "label": "Seconds without work until it ends",
            "default": 1800,
            "spec": {"type": "int", "min": 1, "max": 1800},
        },
        {
            "field": "linger",
            "label": "Seconds that it goes on after your server has stopped",
            "default": 300,
            "spec": {"type": "int", "min": 0, "max": 300},
        },
    ]


def fields(**dask: Any) -> dict[str, Any]:
    return {field["field"]: field for field in options_of(ALICE, dask=DASK | dask).get_specification()}


def test_a_user_may_let_a_cluster_go_on_as_long_as_the_admin_permits() -> None:
    linger = fields(linger="5m", max_linger="2h")["linger"]
    assert (linger["default"], linger["spec"]) == (300, {"type": "int", "min": 0, "max": 7200})
    assert "linger" not in fields(linger=0)


def test_where_clusters_may_idle_for_ever_a_user_may_still_end_theirs_sooner() -> None:
    idle = fields(idle_timeout=0)["idle_timeout"]
    assert (idle["default"], idle["spec"]["min"]) == (0, 0)
    assert configuration(asked={"idle_timeout": 60})["idle_timeout"] == 60


@pytest.mark.parametrize(
    ("user", "dask", "sizes"),
    [
        (ALICE, DASK, ["small", "large"]),
        (ALICE, DASK | {"workers": ["large"]}, ["large"]),
        (BOB, DASK | {"allowed_groups": None}, ["small"]),
        (BOB, DASK | {"allowed_groups": None, "workers": ["small", "large"]}, ["small"]),
    ],
    ids=["alice", "alice, workers are large", "bob, dask for all", "bob, large is not his"],
)
def test_sizes_are_those_of_workers_that_the_user_may_have(
    user: Any, dask: dict[str, Any], sizes: list[str]
) -> None:
    size, _, *_ = options_of(user, dask=dask).get_specification()
    assert size["spec"]["options"] == sizes


def test_image_that_is_not_here_is_not_offered() -> None:
    _, image, *_ = options_of(ALICE, lacks={"images.base": "Not here."}).get_specification()
    assert image["spec"]["options"] == ["geo"]


@pytest.mark.parametrize(
    ("user", "sections", "words"),
    [
        (BOB, {}, "You may not have Dask clusters: only for members of research."),
        (ADMIN, {}, "You may not have Dask clusters: only for members of research."),
        (ALICE, {"dask": None}, "You may not have Dask clusters: this hub has no Dask clusters."),
        (
            BOB,
            {"dask": DASK | {"allowed_groups": None, "workers": ["large"]}},
            "There is no worker size and environment that you may have.",
        ),
    ],
    ids=["not his group", "admin without the group", "no dask", "no size of his"],
)
def test_user_who_may_not_is_told_why(user: Any, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(web.HTTPForbidden) as refusal:
        options_of(user, **sections)
    assert refusal.value.reason == words


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"worker_size": "secret"}, "'secret' is not a valid option for worker_size"),
        ({"image": "mine"}, "'mine' is not a valid option for image"),
        ({"worker_cores": 64}, "Unknown fields ['worker_cores']"),
        ({"image": 2026}, "image must be a string, got 2026"),
        ({"environment": ["A=1"]}, "environment must be a mapping, got ['A=1']"),
        ({"environment": {"OMP_NUM_THREADS": 4}}, "OMP_NUM_THREADS must be a text, such as '4', not 4"),
        ({"environment": {"A": None}}, "A must be a text, such as 'None', not None"),
        ({"environment": {"A": "\0"}}, "A must be a text, such as '\\x00', not '\\x00'"),
        ({"environment": {"A=B": "1"}}, "'A=B' is not the name of an environment variable"),
        ({"environment": {"": "1"}}, "'' is not the name of an environment variable"),
        ({"environment": {"A": "x" * 70_000}}, "environment is too long; 65536 characters are the most"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_offered_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refusal:
        options_of(ALICE).parse_options(asked)
    assert str(refusal.value) == words


@pytest.mark.parametrize(
    ("size", "cores", "memory"), [("small", 1, 15 * 2**28), ("large", 3, 15 * 2**30)], ids=str
)
def test_configuration_has_the_size_in_whole_cores_and_bytes(size: str, cores: int, memory: int) -> None:
    made = configuration(asked={"worker_size": size})
    assert (made["worker_cores"], made["worker_memory"]) == (cores, memory)


def test_configuration_has_the_limits_of_the_description() -> None:
    made = configuration(dask=DASK | {"max_workers": 6, "idle_timeout": "10m"})
    assert (made["cluster_max_workers"], made["idle_timeout"]) == (6, 600)


def test_configuration_runs_the_image_that_was_chosen() -> None:
    assert configuration(asked={"image": "geo"})["worker_cmd"] == ["/alice/small/geo"]


def test_configuration_has_the_users_own_buckets_and_their_keys() -> None:
    environment = configuration()["environment"]
    assert environment["SCRATCH_BUCKET"] == "s3://scratch/alice"
    assert environment["AWS_ACCESS_KEY_ID"] == "public"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9000"


def test_hubs_bucket_variables_win_over_the_users() -> None:
    theirs = {"SCRATCH_BUCKET": "s3://scratch/bob", "AWS_SECRET_ACCESS_KEY": "mine"}
    assert configuration(asked={"environment": theirs})["environment"] == configuration()["environment"]


def test_admins_variables_win_over_the_users() -> None:
    made = configuration(asked={"environment": {"OF_THE_ADMIN": "no"}})["environment"]
    assert made["OF_THE_ADMIN"] == "yes"


def test_users_other_variables_stay() -> None:
    made = configuration(asked={"environment": {"GDAL_CACHEMAX": "64"}})["environment"]
    assert made == configuration()["environment"] | {"GDAL_CACHEMAX": "64"}


PINNED = ServerImage("geo", f"quay.io/hub/geo:1@sha256:{'a' * 64}")
OWN = ServerImage("own:quay.io/pangeo/base:2", f"quay.io/pangeo/base:2@sha256:{'b' * 64}")


def images(
    server: ServerImage | None, asked: dict[str, Any], **sections: Any
) -> tuple[list[str], str | None]:
    """Return the images that are offered, and the one that a cluster gets."""
    found: list[ImageChoice] = []

    def note(decision: Decision, size: SizeChoice, image: ImageChoice) -> dict[str, Any]:
        found.append(image)
        return {}

    made = cluster_options(
        resolve(described(**sections)), lacks={}, bucket_keys={}, commands=note, server_image=server
    )(ALICE)
    offered = made.get_specification()[1]["spec"]["options"]
    made.get_configuration(made.parse_options(asked), ALICE)
    return offered, found[0].image


def test_a_cluster_of_the_servers_image_runs_the_same_bits() -> None:
    assert images(PINNED, {"image": "geo"}) == (["base", "geo"], PINNED.reference)


def test_a_cluster_of_another_image_has_it_by_its_tag() -> None:
    assert images(PINNED, {"image": "base"})[1] == "quay.io/hub/base:1"
    assert images(None, {"image": "geo"})[1] == "quay.io/hub/geo:1"
    assert images(ServerImage("geo", ""), {"image": "geo"})[1] == "quay.io/hub/geo:1"


def test_an_image_that_the_user_named_for_the_server_is_theirs_for_clusters_too() -> None:
    own = {"patterns": [r"quay\.io/pangeo/.*"]}
    offered, runs = images(OWN, {"image": OWN.name}, own_image=own)
    assert (offered, runs) == (["base", "geo", OWN.name], OWN.reference)


@pytest.mark.parametrize("own", [None, {"patterns": []}], ids=["nobody may", "not this one"])
def test_an_image_that_they_may_no_longer_name_is_not_offered(own: Any) -> None:
    assert images(OWN, {}, own_image=own)[0] == ["base", "geo"]
