from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scalablehub.decisions import Decision, State, User, decide
from scalablehub.description import resolve
from tests.descriptions import described

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def decision(*groups: str, lacks: dict[str, str] | None = None) -> Decision:
    return decide(resolve(described()), User("alice", frozenset(groups)), lacks or {})


def states(choices: object) -> dict[str, str]:
    return {choice.name: str(choice.state) for choice in choices}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), {"small": "open", "large": "locked", "secret": "hidden"}),
        (("research",), {"small": "open", "large": "open", "secret": "hidden"}),
        (("staff",), {"small": "open", "large": "locked", "secret": "open"}),
        (("research", "staff"), {"small": "open", "large": "open", "secret": "open"}),
        (("Research",), {"small": "open", "large": "locked", "secret": "hidden"}),
        (("research2", "staff "), {"small": "open", "large": "locked", "secret": "hidden"}),
    ],
    ids=["nobody", "research", "staff", "both", "another case", "nearly"],
)
def test_sizes_are_open_to_members_only(groups: tuple[str, ...], expected: dict[str, str]) -> None:
    assert states(decision(*groups).sizes) == expected


def test_an_admin_who_is_in_no_group_gets_no_more_than_others() -> None:
    user = User("root", frozenset(), admin=True)
    assert states(decide(described(), user).sizes)["secret"] == "hidden"


def test_an_empty_list_of_groups_is_nobody() -> None:
    description = described(sizes={"none": {"node": "gpu", "share": 1, "allowed_groups": []}}, dask=None)
    (size,) = decide(description, User("alice", frozenset({"staff", ""}))).sizes
    assert (size.state, size.why) == (State.HIDDEN, "for nobody")


@pytest.mark.parametrize(
    ("groups", "name", "why", "place"),
    [
        ((), "small", "for everybody", "ScalableHub.sizes.small"),
        (("research",), "large", "for members of research", "ScalableHub.sizes.large.allowed_groups"),
        ((), "large", "Ask the research group.", "ScalableHub.sizes.large.allowed_groups"),
        ((), "secret", "only for members of staff", "ScalableHub.sizes.secret.allowed_groups"),
    ],
)
def test_every_choice_says_why_and_where(groups: tuple[str, ...], name: str, why: str, place: str) -> None:
    size = next(size for size in decision(*groups).sizes if size.name == name)
    assert (size.why, size.place) == (why, place)


def test_what_the_place_lacks_is_locked_even_for_members() -> None:
    lacking = decision("research", lacks={"sizes.large": "No node is that large."})
    large = next(size for size in lacking.sizes if size.name == "large")
    assert (large.state, large.why) == (State.LOCKED, "No node is that large.")


def test_choices_are_sorted_by_order_and_then_by_name() -> None:
    interfaces = {
        "zeta": {"url": "/z"},
        "alpha": {"url": "/a"},
        "last": {"url": "/l", "order": 9},
        "first": {"url": "/f", "order": -1},
    }
    description = described(interfaces=interfaces, images={"base": {"image": "x"}})
    found = decide(description, User("alice")).interfaces
    assert [choice.name for choice in found] == ["first", "alpha", "zeta", "last"]


def test_an_image_without_interfaces_of_its_own_has_all() -> None:
    geo = next(image for image in decision().images if image.name == "geo")
    assert geo.interfaces == ("lab", "rstudio")


def test_a_choice_without_a_display_name_is_called_by_its_name() -> None:
    assert [size.display_name for size in decision().sizes] == ["small", "large", "secret"]


def test_a_share_is_worked_out_for_the_user() -> None:
    small = decision().sizes[0]
    assert (small.cores, small.memory, small.node) == (0.875, 15 * 2**28, "standard")


@pytest.mark.parametrize(
    ("user", "url"),
    [
        ("alice", "s3://scratch/alice"),
        ("alice@example.org", "s3://scratch/alice@example.org"),
        ("../bob", "s3://scratch/..%2Fbob"),
        ("..", "s3://scratch/%2E%2E"),
        ("a b", "s3://scratch/a%20b"),
    ],
)
def test_a_bucket_per_user_has_a_prefix_of_their_own(user: str, url: str) -> None:
    scratch = decide(described(), User(user)).buckets[0]
    assert (scratch.url, scratch.writable) == (url, True)


def test_a_bucket_is_hidden_from_those_who_may_not_have_it() -> None:
    assert states(decision().buckets) == {"scratch": "open", "vault": "hidden"}


SHARED = {
    "all": {"order": 2, "claim": "shared", "mount": "/shared", "folder": "public"},
    "lab": {
        "order": 1,
        "claim": "lab",
        "mount": "/lab",
        "access": "write",
        "allowed_groups": ["staff"],
        "locked": "Ask the lab.",
    },
}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), {"lab": "locked", "all": "open"}),
        (("research",), {"lab": "locked", "all": "open"}),
        (("staff",), {"lab": "open", "all": "open"}),
    ],
    ids=["nobody", "another group", "members"],
)
def test_a_directory_is_open_to_members_only(groups: tuple[str, ...], expected: dict[str, str]) -> None:
    user = User("alice", frozenset(groups))
    assert states(decide(described(directories=SHARED), user).directories) == expected


def test_a_directory_says_what_of_which_claim_is_where() -> None:
    lab, shared = decide(described(directories=SHARED), User("alice")).directories
    assert (lab.claim, lab.folder, lab.mount, lab.writable) == ("lab", None, "/lab", True)
    assert (shared.claim, shared.folder, shared.mount, shared.writable) == (
        "shared",
        "public",
        "/shared",
        False,
    )
    assert (lab.why, lab.place) == ("Ask the lab.", "ScalableHub.directories.lab.allowed_groups")


def test_a_hub_without_directories_shares_none() -> None:
    assert decision().directories == ()


@given(names, names)
def test_distinct_users_have_distinct_slugs(one: str, other: str) -> None:
    assume(one != other)
    assert User(one).slug != User(other).slug


@given(names | st.sampled_from([".", "..", "...", "/", "%2E", "%2F", "a/../b", "\0", "~"]))
def test_a_slug_is_one_safe_path_component(name: str) -> None:
    slug = User(name).slug
    assert slug not in {"", ".", ".."}
    assert set(slug).isdisjoint("/\\\0:\n ")
    assert slug.isascii()


def test_clusters_are_for_members_with_the_sizes_that_are_open_to_them() -> None:
    dask = decision("research").dask
    assert (dask.is_open, dask.max_workers, dask.max_clusters) == (True, 6, 4)
    assert [worker.name for worker in dask.workers] == ["small", "large"]


def test_a_worker_size_must_be_both_listed_and_open() -> None:
    description = described(dask={"workers": ["secret", "small"]})
    assert [worker.name for worker in decide(description, User("alice")).dask.workers] == ["small"]


@pytest.mark.parametrize(
    ("groups", "lacks", "state", "why"),
    [
        ((), {}, "hidden", "only for members of research"),
        (("research",), {"dask": "No gateway here."}, "locked", "No gateway here."),
    ],
)
def test_clusters_that_a_user_may_not_have_say_why(
    groups: tuple[str, ...], lacks: dict[str, str], state: str, why: str
) -> None:
    dask = decision(*groups, lacks=lacks).dask
    assert (str(dask.state), dask.why, dask.workers, dask.max_clusters) == (state, why, (), 0)


def test_a_hub_without_dask_has_no_clusters() -> None:
    dask = decide(described(dask=None), User("alice")).dask
    assert (dask.is_open, dask.why) == (False, "this hub has no Dask clusters")


def test_the_place_is_what_the_admin_calls_the_description() -> None:
    assert decide(described(), User("alice"), place="hub.yaml").sizes[0].place == "hub.yaml.sizes.small"


POOLS = {
    "standard": {"cores": 4, "memory": "16G"},
    "gpu": {"cores": 8, "memory": "64G", "gpus": 1, "spot": True, "allowed_groups": ["gpu"]},
}


def pooled(*groups: str, **gpu: object) -> dict[str, str]:
    nodes = {**POOLS, "gpu": POOLS["gpu"] | gpu}
    description = described(nodes=nodes, sizes={"gpu-1": {"allowed_groups": ["research"]}}, dask=None)
    return states(decide(resolve(description), User("alice", frozenset(groups))).sizes)


@pytest.mark.parametrize(
    ("groups", "gpu", "state"),
    [
        (("gpu", "research"), {}, "open"),
        (("gpu",), {}, "hidden"),
        (("research",), {}, "hidden"),
        (("research",), {"locked": "Ask the GPU team."}, "locked"),
        ((), {"locked": "Ask the GPU team."}, "hidden"),  # the size itself is not shown to them
    ],
)
def test_a_size_is_as_open_as_its_node_pool(groups: tuple[str, ...], gpu: dict[str, str], state: str) -> None:
    assert pooled(*groups, **gpu) == {
        "gpu-1": state,
        "standard-1": "open",
        "standard-1-2": "open",
        "standard-1-4": "open",
    }


def test_what_is_hidden_is_for_workers_that_are_named_only() -> None:
    sizes = {
        "seen": {"node": "standard", "share": "1/2"},
        "unseen": {"node": "standard", "share": 1, "hidden": True},
    }
    dask = {"workers": ["unseen"]}
    of_all = decide(resolve(described(sizes=sizes, dask={})), User("alice"))
    of_some = decide(resolve(described(sizes=sizes, dask=dask)), User("alice"))
    assert [size.name for size in of_all.sizes] == ["seen"]
    assert [size.name for size in of_all.dask.workers] == ["seen"]
    assert [size.name for size in of_some.dask.workers] == ["unseen"]


def test_a_size_that_its_pool_opens_says_so() -> None:
    nodes = {"gpu": {"cores": 8, "memory": "64G", "allowed_groups": ["gpu"]}}
    description = described(nodes=nodes, sizes={}, dask=None)
    size = decide(resolve(description), User("alice", frozenset({"gpu"}))).sizes[0]
    assert (size.why, size.place) == ("for members of gpu", "ScalableHub.nodes.gpu.allowed_groups")


@pytest.mark.parametrize(
    ("groups", "state", "writable"),
    [
        (set(), "hidden", False),
        ({"readers"}, "open", False),
        ({"writers"}, "open", True),
        ({"readers", "writers"}, "open", True),
        ({"writer"}, "hidden", False),
    ],
)
def test_write_groups_write_where_the_others_read(groups: set[str], state: str, writable: bool) -> None:
    bucket = {"url": "s3://b", "allowed_groups": ["readers", "writers"], "write_groups": ["writers"]}
    choice = decide(described(buckets={"b": bucket}), User("alice", frozenset(groups))).buckets[0]
    assert (choice.state, choice.writable) == (state, writable)
