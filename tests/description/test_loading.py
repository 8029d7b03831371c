from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from importlib.resources import files
from math import inf, nan
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from scalablehub.description import DescriptionError, canonical_json, load_description, resolve
from scalablehub.description.models import Description
from scalablehub.description.sharing import share
from scalablehub.local.settings import LocalHub
from tests.descriptions import anything, described, written


def problems(raw: Any) -> list[str]:
    with pytest.raises(DescriptionError) as raised:
        load_description(raw)
    return [str(problem) for problem in raised.value.problems]


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the description with one place of it set."""
    raw = written()
    *folders, last = path.split(".")
    section = raw
    for folder in folders:
        section = section[folder]
    section[last] = value
    return raw


def test_a_whole_description_is_accepted() -> None:
    assert list(described().sizes) == ["small", "large", "secret"]


def test_an_empty_description_is_accepted() -> None:
    assert load_description({}).enabled


@pytest.mark.parametrize(
    ("place", "suggestion"),
    [
        ("sizez", "did you mean 'sizes'?"),
        ("nodes.standard.memroy", "did you mean 'memory'?"),
        ("nodes.standard.reserved.core", "did you mean 'cores'?"),
        ("sizes.small.allowed_group", "did you mean 'allowed_groups'?"),
        ("images.base.imag", "did you mean 'image'?"),
        ("interfaces.lab.ulr", "did you mean 'url'?"),
        ("buckets.scratch.per_users", "did you mean 'per_user'?"),
        ("dask.max_worker", "did you mean 'max_workers'?"),
        ("nodes.gpu.selectors", "did you mean 'selector'?"),
        ("nodes.gpu.kubespawner_overrides", "did you mean 'kubespawner_override'?"),
        (
            "qqq",
            "known here: enabled, nodes, sizes, images, own_image, registries, interfaces, groups, caps, "
            "currency, "
            "region, buckets, credentials, directories, labels, dask",
        ),
        ("nodes.standard.reserved.qqq", "known here: cores, memory"),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(place: str, suggestion: str) -> None:
    assert problems(changed(place, 1)) == [f"ScalableHub.{place}: unknown key; {suggestion}"]


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("nodes.standard.memory", "32X", "'32X' is not a size; write '32G'"),
        ("nodes.standard.cores", "many", "'many' is not a number of cores; write 2 or 0.5"),
        ("nodes.standard.memory", 0, "is nothing; write how much of it there is, or leave it out"),
        ("nodes.standard.cores", 0, "is nothing; write how much of it there is, or leave it out"),
        (
            "nodes.standard",
            {"cores": 4},
            "a node pool needs its capacity; write 'cores' and 'memory' of one node",
        ),
        (
            "sizes.small.share",
            "5/4",
            "'5/4' is not a share of a node; write '1/2', '1/4' or 1 for a whole node",
        ),
        (
            "sizes.small",
            {"node": "standard"},
            "a size needs 'share', such as '1/4', or both 'cores' and 'memory'",
        ),
        (
            "sizes.small",
            {"node": "standard", "share": 1, "cores": 1},
            "a size has either 'share' or 'cores' and 'memory'; leave one of them out",
        ),
        (
            "sizes.small",
            {"node": "standard", "cores": 1},
            "a size needs 'share', such as '1/4', or both 'cores' and 'memory'",
        ),
        ("sizes.secret.memory", 0, "is nothing; write how much of it there is, or leave it out"),
        ("sizes.small", "1/4", "'1/4' is not a section; write keys and values below it"),
        ("sizes", ["small"], "['small'] is not a section; write keys and values below it"),
        ("dask", True, "True is not a section; write keys and values below it"),
        (
            "images.base",
            {"display_name": "Base"},
            "an image needs 'image' (a container image) or 'prefix' (a Python environment)",
        ),
        ("interfaces.lab", {}, "is missing"),
        (
            "buckets.scratch.url",
            "http://x",
            "'http://x' is not a bucket; write 's3://name' or 's3://name/prefix', or gs:// or az://",
        ),
        (
            "buckets.scratch.url",
            "s3:///x",
            "'s3:///x' is not a bucket; write 's3://name' or 's3://name/prefix', or gs:// or az://",
        ),
        (
            "buckets.scratch.endpoint",
            "minio:9000",
            "'minio:9000' is not an endpoint; write 'https://host' or 'this-machine'",
        ),
        ("buckets.scratch.access", "admin", "'admin' is unknown; write 'read' or 'write'"),
        (
            "buckets.scratch.variable",
            "AWS_PROFILE",
            "'AWS_PROFILE' configures something else; choose a name such as 'CLIMATE_BUCKET'",
        ),
        ("dask.idle_timeout", "soon", "'soon' is not a duration; write '30m'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_the_remedy(
    place: str, value: object, sentence: str
) -> None:
    (problem,) = problems(changed(place, value))
    assert problem.startswith(f"ScalableHub.{place}")
    assert problem.endswith(f": {sentence}")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("interfaces.lab.url", "lab"),
        ("interfaces.lab.url", "/lab?token=x"),
        ("interfaces.lab.url", "/lab\n"),
        ("interfaces.lab.url", "//evil.example/<script>"),
        ("interfaces.lab.packages", ["jupyter-lab"]),
        ("interfaces.lab.packages", ["os; import sys"]),
        ("buckets.scratch.variable", "lower"),
        ("buckets.scratch.variable", "A=B"),
        ("dask.gateway_url", "gateway:8000"),
        ("dask.service_url", "https://127.0.0.1:1"),
        ("dask.scheduler_address", "tls://host:80"),
        ("dask.max_workers", 0),
        ("dask.max_workers", "many"),
        ("dask.max_clusters", -1),
        ("enabled", "perhaps"),
        ("sizes.small.order", "first"),
        ("sizes.small.allowed_groups", "research"),
        ("sizes.small.allowed_groups", [1]),
        ("sizes.small.display_name", ["Small"]),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_form_is_refused_with_its_place(place: str, value: object) -> None:
    (problem,) = problems(changed(place, value))
    assert problem.startswith(f"ScalableHub.{place}")


@pytest.mark.parametrize(
    "name", ["Large", "l_arge", "-large", "large-", "", "a/b", "..", "a b", "a\n", "é", "a" * 51, "{{x}}"]
)
def test_a_name_that_kubernetes_and_paths_cannot_hold_is_refused(name: str) -> None:
    (problem,) = problems(written(nodes=written()["nodes"] | {name: {"cores": 1, "memory": "1G"}}))
    assert problem.endswith("is not a name; use small letters, digits and '-', at most 50")


@pytest.mark.parametrize("name", ["a", "0", "high-mem", "a" * 50])
def test_a_name_of_small_letters_digits_and_hyphens_is_accepted(name: str) -> None:
    assert name in described(nodes=written()["nodes"] | {name: {"cores": 1, "memory": "1G"}}).nodes


NOT_AN_OPTION = "is not an option of KubeSpawner; they are written such as extra_resource_limits"
NOT_A_KEY = "is not the key of a label; write it such as 'cost-center' or 'example.org/pool'"
NOT_A_VALUE = (
    "is not the value of a label; use at most 63 letters, digits, '-', '_' and '.', with a letter or a digit "
    "at both ends"
)
NOT_A_MOUNT = "is not a path on a server; write it such as '/home/jovyan/shared'"
NOT_A_FOLDER = "is not a folder of a volume; write it such as 'shared/data', without '/' at either end"


def for_pods() -> dict[str, Any]:
    """Return a description with what only hubs in Kubernetes use."""
    directory = {"claim": "shared", "mount": "/home/jovyan/shared", "folder": "a/b", "access": "write"}
    toleration = {"key": "example.org/gpu", "operator": "Exists", "effect": "NoSchedule"}
    override = {"extra_resource_limits": {"nvidia.com/gpu": 1}}
    raw = written(directories={"shared": directory}, labels={"cost-center": "geophysics"})
    raw["nodes"]["gpu"] |= {
        "selector": {"cloud.example/pool": "gpu", "empty": ""},
        "tolerations": [toleration, {"key": "x", "value": "y"}],
        "kubespawner_override": override,
    }
    raw["images"]["base"]["kubespawner_override"] = override
    raw["interfaces"]["lab"]["kubespawner_override"] = override
    return raw


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("nodes.gpu.selector", {"bad key": "x"}, f".bad key: {NOT_A_KEY}"),
        ("nodes.gpu.selector", {"a": "b c"}, f".a: 'b c' {NOT_A_VALUE}"),
        ("nodes.gpu.selector", {"a": True}, ".a: True is not text; write it in quotes"),
        ("nodes.gpu.selector", ["a"], ": ['a'] is not a section; write keys and values below it"),
        (
            "nodes.gpu.tolerations",
            {"key": "a"},
            ": {'key': 'a'} is not a list; write '- ' before each item",
        ),
        ("nodes.gpu.tolerations", [{"effect": "NoSchedule"}], ".0.key: is missing"),
        (
            "nodes.gpu.tolerations",
            [{"key": "a"}, {"key": "a", "operator": "exists"}],
            ".1.operator: 'exists' is unknown; write 'Exists' or 'Equal'",
        ),
        (
            "nodes.gpu.tolerations",
            [{"key": "a", "operator": "Exists", "value": "b"}],
            ".0: a toleration that 'Exists' has no value; leave 'value' out or write 'Equal'",
        ),
        (
            "nodes.gpu.tolerations",
            [{"key": "a", "efect": "NoSchedule"}],
            ".0.efect: unknown key; did you mean 'effect'?",
        ),
        (
            "nodes.gpu.tolerations",
            [{"key": "a", "zzz": 1}],
            ".0.zzz: unknown key; known here: key, operator, value, effect",
        ),
        ("nodes.gpu.kubespawner_override", {"Image": 1}, f".Image: {NOT_AN_OPTION}"),
        ("images.base.kubespawner_override", {"a-b": 1}, f".a-b: {NOT_AN_OPTION}"),
        (
            "interfaces.lab.kubespawner_override",
            [1],
            ": [1] is not a section; write keys and values below it",
        ),
        ("labels", {"cost center": "x"}, f".cost center: {NOT_A_KEY}"),
        ("labels", {"a": "-x"}, f".a: '-x' {NOT_A_VALUE}"),
        ("labels", {"a": 1}, ".a: 1 is not text; write it in quotes"),
        ("labels", {"a": date(2026, 1, 2)}, ".a: 2026-01-02 is not text; write it in quotes"),
        (
            "directories.shared.claim",
            "A",
            ": 'A' is not the name of a claim; use small letters, digits, '-' and '.'",
        ),
        ("directories.shared.mount", "shared", f": 'shared' {NOT_A_MOUNT}"),
        ("directories.shared.mount", "/a/../b", f": '/a/../b' {NOT_A_MOUNT}"),
        ("directories.shared.mount", "/", f": '/' {NOT_A_MOUNT}"),
        ("directories.shared.mount", "/a/{username}", f": '/a/{{username}}' {NOT_A_MOUNT}"),
        ("directories.shared.folder", "/abs", f": '/abs' {NOT_A_FOLDER}"),
        ("directories.shared.folder", "a/..", f": 'a/..' {NOT_A_FOLDER}"),
        ("directories.shared.folder", "a/", f": 'a/' {NOT_A_FOLDER}"),
        ("directories.shared.access", "rw", ": 'rw' is unknown; write 'read' or 'write'"),
        ("directories.shared.claim_name", "x", ": unknown key; did you mean 'claim'?"),
        (
            "directories.shared",
            {"mount": "/x"},
            ": a folder needs 'claim' (a volume claim) or 'path' (a folder of this machine)",
        ),
    ],
    ids=str,
)
def test_a_wrong_word_for_pods_is_refused_with_its_place(place: str, value: Any, problem: str) -> None:
    raw = for_pods()
    *folders, last = place.split(".")
    section = raw
    for folder in folders:
        section = section[folder]
    section[last] = value
    assert problems(raw) == [f"ScalableHub.{place}{problem}"]


def test_what_is_for_pods_is_accepted_and_comes_back_from_json() -> None:
    description = load_description(for_pods())
    assert load_description(json.loads(canonical_json(description))) == description
    assert resolve(resolve(description)) == resolve(description)


def test_every_problem_is_named_at_once() -> None:
    raw = changed("nodes.standard.memory", "32X") | {"colour": "blue"}
    raw["sizes"]["small"]["share"] = "9"
    assert [problem.split(": ")[0] for problem in problems(raw)] == [
        "ScalableHub.nodes.standard.memory",
        "ScalableHub.sizes.small.share",
        "ScalableHub.colour",
    ]


@pytest.mark.parametrize("raw", [None, [], "sizes", 3, [["sizes", {}]]], ids=repr)
def test_a_description_that_is_no_mapping_is_refused(raw: object) -> None:
    assert problems(raw) == [f"ScalableHub: {raw!r} is not a section; write keys and values below it"]


def test_a_description_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        described().enabled = False  # type: ignore[misc]


@given(anything)
def test_any_input_is_accepted_or_refused_in_sentences(raw: Any) -> None:
    for candidate in (raw, {"sizes": raw}, {"sizes": {"a": raw}}, {"dask": raw}, {"buckets": {"b": raw}}):
        try:
            load_description(candidate)
        except DescriptionError as error:
            assert all(problem.place.startswith("ScalableHub") for problem in error.problems)


JUNK: list[Any] = [
    None,
    1,
    -1,
    1.5,
    inf,
    nan,
    True,
    "x",
    "",
    [],
    {},
    ["x"],
    {"zzz": 1},
    [[]],
    10**30,
    [None],
    {"": None},
]
SHIPPED = yaml.safe_load(files("scalablehub.local").joinpath("hub.yaml").read_text())["ScalableHub"]


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a description."""
    yield at
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from places(value, (*at, key))


@pytest.mark.parametrize("raw", [written(), SHIPPED], ids=["written", "shipped"])
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_at_any_place_is_accepted_or_refused_in_sentences(raw: dict[str, Any], junk: Any) -> None:
    for *way, last in [at for at in places(raw) if at] + [(*at, "zzz") for at in places(raw)]:
        candidate = copy.deepcopy(raw)
        section: Any = candidate
        for key in way:
            section = section[key]
        if isinstance(section, dict) or (isinstance(section, list) and last != "zzz"):
            section[last] = junk
            with suppress(DescriptionError):
                share(resolve(load_description(candidate)))


def test_canonical_json_is_the_same_text_for_the_same_meaning() -> None:
    raw = written()
    other = {key: dict(reversed(raw[key].items())) for key in reversed(raw)}
    other["sizes"]["small"] = {"share": "2/8", "node": "standard", "order": 1}
    other["nodes"]["standard"]["memory"] = "16384MiB"
    assert canonical_json(load_description(other)) == canonical_json(load_description(raw))


@given(st.permutations(list(written())))
def test_canonical_json_is_stable_under_key_order(keys: list[str]) -> None:
    raw = written()
    assert canonical_json(load_description({key: raw[key] for key in keys})) == canonical_json(described())


def test_canonical_json_tells_different_descriptions_apart() -> None:
    assert canonical_json(described()) != canonical_json(described(dask=None))


def test_canonical_json_can_be_read_back() -> None:
    assert load_description(json.loads(canonical_json(described()))) == described()


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for module_model in (model, *model.__subclasses__()):
        yield module_model
        if module_model is not model:
            yield from models(module_model)


FIELDS = sorted(
    (model.__name__, name, str(field.description or ""))
    for model in {*models(Description.__mro__[1]), LocalHub}
    for name, field in model.model_fields.items()
)


@pytest.mark.parametrize(("model", "field", "text"), FIELDS, ids=lambda value: str(value)[:20])
def test_every_field_tells_an_admin_what_it_is_for(model: str, field: str, text: str) -> None:
    assert text.endswith((".", "'.")), f"{model}.{field}"


def test_the_models_are_found() -> None:
    assert {"Description", "NodePool", "Size", "Image", "Bucket", "Dask", "LocalUser"} <= {
        model for model, _, _ in FIELDS
    }
