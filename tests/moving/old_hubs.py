"""Old hubs that tests begin with, as values files have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.descriptions import anything

VALUES = Path(__file__).parent / "values"
FILES = ("daskhub", "pangeo", "plain", "research")
GROUPS = ("a", "b", "c")


def values_of(name: str) -> Any:
    """Return one of the values files."""
    return yaml.safe_load((VALUES / f"{name}.yaml").read_text())


def with_profiles(*profiles: Any, **singleuser: Any) -> dict[str, Any]:
    """Return values of a hub with these profiles, and nothing that is listed without them."""
    return {
        "singleuser": {
            "cloudMetadata": {"blockWithIptables": False},
            "image": {"name": "quay.io/old/base", "tag": "1"},
            "cpu": {"guarantee": 1},
            "memory": {"guarantee": "2G", "limit": "2G"},
            "profileList": list(profiles),
        }
        | singleuser
    }


def profile(name: str, options: Any = None, groups: Any = None, **override: Any) -> dict[str, Any]:
    """Return a profile."""
    return _with_groups(
        {"display_name": name, "kubespawner_override": override}
        | ({} if options is None else {"profile_options": options}),
        groups,
    )


def choice(groups: Any = None, **override: Any) -> dict[str, Any]:
    """Return a choice of an option."""
    return _with_groups({"kubespawner_override": override}, groups)


def own(regex: str | None, groups: Any = None, image: str = "{value}") -> dict[str, Any]:
    """Return an option in which the user writes an image."""
    stated = {} if regex is None else {"validation_regex": regex}
    return {
        "unlisted_choice": _with_groups(
            {"enabled": True, "kubespawner_override": {"image": image}} | stated, groups
        )
    }


def _with_groups(thing: dict[str, Any], groups: Any) -> dict[str, Any]:
    return thing if groups is None else thing | {"allowed_groups": groups}


_groups = st.none() | st.lists(st.sampled_from(GROUPS), max_size=2, unique=True)
_images = st.sampled_from(["x/one:1", "x/two:2", "x/three:3"])
_overrides = st.fixed_dictionaries(
    {},
    optional={
        "image": _images,
        "mem_limit": st.sampled_from(["1G", "2G", None]),
        "cpu_guarantee": st.sampled_from([0.5, 1]),
        "node_selector": st.sampled_from([{"pool": "one"}, {"pool": "two"}]),
        "default_url": st.sampled_from(["/lab", "/tree"]),
        "environment": st.sampled_from([{"ONE": "1"}, {"TWO": "2"}]),
    },
)
_choices = st.builds(lambda groups, override: choice(groups, **override), _groups, _overrides)
_options = st.dictionaries(
    st.sampled_from(["image", "size"]),
    st.builds(
        lambda choices, writing: {"choices": choices} | writing,
        st.dictionaries(st.sampled_from(["p", "q", "r"]), _choices, min_size=1, max_size=3),
        st.just({}) | st.builds(own, st.sampled_from(["^x/.+$", "^y/.+$"]), _groups),
    ),
    max_size=2,
)
_profiles = st.builds(
    lambda name, options, groups, override: profile(name, options, groups, **override),
    st.sampled_from(["One", "Two", "Three"]),
    _options,
    _groups,
    _overrides,
)
hubs = st.builds(lambda profiles: with_profiles(*profiles), st.lists(_profiles, min_size=1, max_size=3))
"""Hubs with profiles, options and groups that are as they should be."""

_words = st.sampled_from(
    [
        "1G",
        "8Gi",
        "0.5",
        "500m",
        "{value}",
        "^a/.+$",
        "(",
        "x/y:1",
        "/lab",
        "nvidia.com/gpu",
        "a b",
        "<b>",
        "",
    ]
)
_anything = anything | _words


def _mostly(value: Any) -> Any:
    """Draw from a strategy, but one time in ten whatever there is."""
    return st.integers(0, 9).flatmap(lambda number: _anything if number == 5 else value)


def _perhaps(**keys: Any) -> Any:
    return st.fixed_dictionaries({}, optional={key: _mostly(value) for key, value in keys.items()})


def _all_of(**keys: Any) -> Any:
    return st.fixed_dictionaries({key: _mostly(value) for key, value in keys.items()})


_odd_override = _perhaps(
    image=_words,
    image_spec=_words,
    mem_limit=_words,
    mem_guarantee=st.integers() | st.floats(),
    cpu_limit=st.floats(),
    cpu_guarantee=_words,
    node_selector=st.dictionaries(_words, _words),
    tolerations=st.lists(st.dictionaries(st.sampled_from(["key", "operator", "value", "effect"]), _words)),
    extra_resource_limits=st.dictionaries(_words | st.sampled_from(["memory", "cpu"]), _words),
    extra_resource_guarantees=st.dictionaries(_words | st.sampled_from(["memory", "cpu"]), _words),
    extra_pod_config=st.dictionaries(st.sampled_from(["volumes", "x"]), _anything),
    default_url=_words,
    environment=st.dictionaries(st.text(), _anything),
    profile_list=_words,
    volumes=st.lists(_anything),
    **{"Not an option": _anything},
)
_odd_choice = _perhaps(
    display_name=_words,
    description=_words,
    default=st.booleans(),
    kubespawner_override=_odd_override,
    allowed_groups=st.lists(_words),
)
_odd_option = _perhaps(
    choices=st.dictionaries(st.text(max_size=4), _odd_choice, max_size=2),
    unlisted_choice=_all_of(
        enabled=st.just(True), validation_regex=_words, kubespawner_override=_perhaps(image=_words)
    ),
)
_odd_profile = _all_of(
    display_name=_words,
    slug=_words,
    allowed_groups=st.lists(_words),
    kubespawner_override=_odd_override,
    profile_options=st.dictionaries(st.text(max_size=4), _odd_option, max_size=2),
)
_odd_profiles = st.lists(_odd_profile, min_size=1, max_size=3) | st.dictionaries(
    _words, _odd_profile, max_size=3
)
odd_values = _all_of(
    singleuser=_all_of(
        image=_perhaps(name=_words, tag=_words),
        memory=_perhaps(limit=_words, guarantee=_words),
        cpu=_perhaps(limit=_words, guarantee=_words),
        profileList=_odd_profiles,
        defaultUrl=_words,
        extraResource=_perhaps(limits=st.dictionaries(_words, _words)),
    ),
    hub=_perhaps(
        config=_perhaps(KubeSpawner=_perhaps(profile_list=_odd_profiles) | _odd_override),
        loadRoles=st.lists(
            _perhaps(
                scopes=st.just(["access:services!service=dask-gateway"]), groups=st.lists(_words), name=_words
            )
        ),
        extraConfig=st.dictionaries(_words, _words),
    ),
    gateway=_perhaps(
        extraConfig=st.sampled_from(
            ["c.X.idle_timeout = -1", "c.X.cluster_max_cores = 1e400", "(", "c.X.cluster_max_memory = '1G'"]
        ),
        backend=_perhaps(worker=_perhaps(cores=_words)),
    ),
)
"""Values in which anything can stand anywhere."""
