from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scalablehub.description import Capacity, DescriptionError, check_complete, load_description, resolve
from scalablehub.description.checking import share_of
from scalablehub.description.models import NodePool
from tests.descriptions import described, written

ON_THIS_MACHINE = {"machine": {"instance": "this-machine", "reserved": {"memory": "1G"}}}


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(DescriptionError) as raised:
        load_description(raw)
    return [str(problem) for problem in raised.value.problems]


def test_a_size_on_a_node_that_is_not_there_is_refused() -> None:
    raw = written(sizes={"small": {"node": "nowhere", "share": 1}})
    assert problems(raw) == ["ScalableHub.sizes.small.node: 'nowhere' is not in nodes; known: gpu, standard"]


def test_a_reference_into_an_empty_section_says_where_to_add_it() -> None:
    raw = written(sizes={"small": {"node": "nowhere", "share": 1}}, nodes={})
    assert problems(raw) == ["ScalableHub.sizes.small.node: 'nowhere' is not in nodes; add it to nodes"]


def test_an_image_with_an_interface_that_is_not_there_is_refused() -> None:
    raw = written(images={"base": {"image": "x", "interfaces": ["lab", "vscode"]}})
    assert problems(raw) == [
        "ScalableHub.images.base.interfaces: 'vscode' is not in interfaces; known: lab, rstudio"
    ]


def test_a_worker_size_that_is_not_there_is_refused() -> None:
    raw = written(dask={"workers": ["small", "huge"]})
    assert problems(raw) == ["ScalableHub.dask.workers: 'huge' is not in sizes; known: large, secret, small"]


def test_two_buckets_with_one_variable_are_refused() -> None:
    bucket = {"url": "s3://b", "variable": "DATA"}
    assert problems(written(buckets={"one": bucket, "two": bucket})) == [
        "ScalableHub.buckets.two.variable: 'DATA' is that of bucket 'one'; choose another"
    ]


def test_two_directories_at_one_path_are_refused() -> None:
    directory = {"claim": "a", "mount": "/shared"}
    assert problems(written(directories={"one": directory, "two": directory | {"claim": "b"}})) == [
        "ScalableHub.directories.two.mount: '/shared' is that of directory 'one'; choose another"
    ]


@pytest.mark.parametrize(
    ("measure", "problem"),
    [
        (
            {"cores": 3.501, "memory": "1G"},
            "cores: 3.5 cores can never be scheduled: a node of 'standard' has 3.5 cores and 15 GB "
            "for servers; ask for at most that",
        ),
        (
            {"cores": 1, "memory": "16G"},
            "memory: 16 GB can never be scheduled: a node of 'standard' has 3.5 cores and 15 GB for servers; "
            "ask for at most that",
        ),
        (
            {"share": "1/4000"},
            "share: 1/4000 is nothing: a node of 'standard' has 3.5 cores and 15 GB for servers; "
            "ask for a larger share",
        ),
    ],
    ids=["cores", "memory", "share"],
)
def test_a_size_that_no_node_can_hold_is_refused(measure: dict[str, Any], problem: str) -> None:
    raw = written(sizes={"big": {"node": "standard"} | measure}, dask=None)
    assert problems(raw) == [f"ScalableHub.sizes.big.{problem}"]


@pytest.mark.parametrize("measure", [{"cores": 3.5, "memory": "15G"}, {"share": 1}], ids=["numbers", "share"])
def test_a_size_that_fills_a_node_is_accepted(measure: dict[str, Any]) -> None:
    assert described(sizes={"whole": {"node": "standard"} | measure})


def test_a_node_that_the_system_takes_whole_has_no_room_for_a_share() -> None:
    nodes = {"standard": {"cores": 1, "memory": "1G", "reserved": {"cores": 2}}}
    (problem,) = problems(written(nodes=nodes, sizes={"small": {"node": "standard", "share": 1}}, dask=None))
    assert problem.startswith("ScalableHub.sizes.small.share: 1 is nothing")


def test_a_size_that_this_machine_cannot_hold_is_refused_when_it_is_measured() -> None:
    description = described(
        nodes=ON_THIS_MACHINE, sizes={"big": {"node": "machine", "cores": 8, "memory": "4G"}}
    )
    with pytest.raises(DescriptionError, match=r"sizes\.big\.cores: 8 cores can never be scheduled"):
        resolve(description, Capacity(4, 16 * 2**30))


def test_a_share_of_this_machine_becomes_numbers_when_it_is_measured() -> None:
    description = described(nodes=ON_THIS_MACHINE, sizes={"small": {"node": "machine", "share": "1/4"}})
    small = resolve(description, Capacity(6, 17 * 2**30)).sizes["small"]
    assert (small.share, small.cores, small.memory) == (None, 1.5, 4 * 2**30)


def test_a_machine_that_is_not_measured_stays_as_it_is() -> None:
    description = described(
        nodes={"machine": {"instance": "this-machine", "cores": 2}},
        sizes={"small": {"node": "machine", "share": "1/4"}},
    )
    assert resolve(description) == description


def test_a_capacity_that_an_admin_wrote_is_kept_when_the_machine_is_measured() -> None:
    nodes = {"machine": {"instance": "this-machine", "cores": 2, "memory": "4G", "reserved": {}}}
    description = described(nodes=nodes, sizes={"all": {"node": "machine", "share": 1}})
    whole = resolve(description, Capacity(64, 2**40)).sizes["all"]
    assert (whole.cores, whole.memory) == (2, 4 * 2**30)


def test_the_store_of_this_machine_gets_its_address() -> None:
    description = described(buckets={"data": {"url": "s3://data", "endpoint": "this-machine"}})
    assert resolve(description, store="http://127.0.0.1:9").buckets["data"].endpoint == "http://127.0.0.1:9"


def test_a_resolved_description_is_resolved_to_itself() -> None:
    once = resolve(described(), Capacity(4, 2**34), "http://127.0.0.1:9")
    assert resolve(once, Capacity(4, 2**34), "http://127.0.0.1:9") == once


def test_a_description_that_nobody_can_start_a_server_with_is_incomplete() -> None:
    assert [section for section, _ in check_complete(load_description({}))] == [
        "sizes",
        "images",
        "interfaces",
    ]
    assert list(check_complete(described())) == []


cores = st.floats(min_value=0.001, max_value=512) | st.integers(min_value=1, max_value=512)
memory = st.integers(min_value=2**20, max_value=2**43)


@given(cores, st.just(0) | cores, memory, st.integers(min_value=0, max_value=2**32), st.integers(1, 64))
def test_the_shares_of_a_node_always_fit_it(
    node_cores: float, system_cores: float, node_memory: int, system_memory: int, parts: int
) -> None:
    assume("e" not in f"{node_cores}{system_cores}")
    pool = NodePool.model_validate(
        {
            "cores": node_cores,
            "memory": node_memory,
            "reserved": {"cores": system_cores, "memory": system_memory},
        }
    )
    share_cores, share_memory = share_of(pool, f"1/{parts}")
    room = max(Fraction(repr(node_cores)) - Fraction(repr(system_cores)), Fraction(0))
    assert parts * Fraction(repr(share_cores)) <= room
    assert parts * share_memory <= max(node_memory - system_memory, 0)


@given(cores, memory, st.integers(1, 64))
def test_a_share_of_a_measured_machine_is_never_refused_for_being_too_large(
    node_cores: float, node_memory: int, parts: int
) -> None:
    assume("e" not in str(node_cores))
    description = described(
        nodes={"machine": {"instance": "this-machine"}},
        sizes={"share": {"node": "machine", "share": f"1/{parts}"}},
    )
    try:
        resolve(description, Capacity(node_cores, node_memory))
    except DescriptionError as error:
        assert "is nothing" in error.message
