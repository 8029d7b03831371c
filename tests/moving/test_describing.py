from __future__ import annotations

from typing import Any

import pytest

from scalablehub.moving import describe, locate
from tests.moving.old_hubs import choice, own, profile, with_profiles

LIST = "singleuser.profileList"


def description(*profiles: Any, **singleuser: Any) -> dict[str, Any]:
    return describe(locate(with_profiles(*profiles, **singleuser))).description


def uncarried(*profiles: Any, **singleuser: Any) -> dict[str, str]:
    return dict(describe(locate(with_profiles(*profiles, **singleuser))).uncarried)


def test_a_hub_without_profiles_has_one_of_each() -> None:
    assert description() == {
        "nodes": {
            "standard": {"order": 1, "cores": 1, "memory": "2G", "reserved": {"cores": 0, "memory": 0}}
        },
        "sizes": {"standard": {"order": 1, "node": "standard", "cores": 1, "memory": "2G"}},
        "images": {"base": {"order": 1, "image": "quay.io/old/base:1", "interfaces": ["lab"]}},
        "interfaces": {
            "lab": {"order": 1, "display_name": "JupyterLab", "packages": ["jupyterlab"], "url": "/lab"}
        },
    }


def test_a_profile_is_taken_apart() -> None:
    found = description(
        profile("Small", mem_limit="4G", mem_guarantee="4G"),
        profile("Maps", image="x/maps:1", default_url="/rstudio"),
    )
    assert found["sizes"] == {
        "small": {"order": 1, "display_name": "Small", "node": "standard", "cores": 1, "memory": "4G"},
        "standard": {"order": 2, "node": "standard", "cores": 1, "memory": "2G"},
    }
    assert list(found["images"]) == ["base", "maps"]
    assert found["images"]["maps"]["interfaces"] == ["rstudio"]


def test_the_default_comes_first() -> None:
    found = description(
        profile("Small", mem_limit="1G", mem_guarantee="1G"),
        profile("Large", mem_limit="4G", mem_guarantee="4G") | {"default": True},
    )
    assert {name: size["order"] for name, size in found["sizes"].items()} == {"large": 1, "small": 2}


def test_html_of_the_old_page_is_taken_out() -> None:
    found = description(profile("<b>Large</b> &amp; <i>fast</i>", mem_limit="4G"))
    assert found["sizes"]["large-fast"]["display_name"] == "Large & fast"


def test_node_pools_are_what_profiles_select() -> None:
    taint = {"key": "gpu", "operator": "Exists"}
    found = description(
        profile(
            "GPU",
            node_selector={"pool": "gpu"},
            tolerations=[taint],
            extra_resource_limits={"nvidia.com/gpu": "2"},
        )
    )
    assert found["nodes"]["gpu"]["selector"] == {"pool": "gpu"}
    assert found["nodes"]["gpu"]["tolerations"] == [taint]
    assert found["nodes"]["gpu"]["gpus"] == found["sizes"]["gpu"]["gpus"] == 2


@pytest.mark.parametrize(
    ("override", "memory"),
    [
        ({"mem_limit": "8G"}, "8G"),
        ({"mem_limit": None, "mem_guarantee": "3G"}, "3G"),
        ({"mem_limit": None, "mem_guarantee": None}, "1G"),
        ({"mem_limit": "8G", "extra_resource_limits": {"memory": "6Gi"}}, "6G"),
        ({"mem_limit": "8G", "extra_resource_limits": {"memory": "1024M"}}, "1000000K"),
    ],
)
def test_a_size_has_the_memory_that_a_server_could_use(override: Any, memory: str) -> None:
    (size,) = description(profile("One", **override))["sizes"].values()
    assert size["memory"] == memory


def test_a_node_of_a_known_type_has_what_its_cloud_says_and_room_for_what_was_asked() -> None:
    select = {"node.kubernetes.io/instance-type": "r5.xlarge"}
    (node,) = description(profile("One", node_selector=select, mem_limit="31G", cpu_guarantee=3.9))[
        "nodes"
    ].values()
    assert (node["cores"], node["memory"]) == (4, "32G")
    assert node["reserved"] == {"cores": 0.1, "memory": "1G"}


def test_a_limit_of_cores_that_all_servers_of_a_pool_have_is_kept() -> None:
    found = description(profile("One", cpu_limit=2), profile("Two", cpu_limit=2, mem_limit="4G"))
    assert found["nodes"]["standard"]["kubespawner_override"] == {"cpu_limit": 2}


def test_other_options_go_to_what_the_profile_or_the_choice_is_about() -> None:
    found = description(
        profile(
            "Big",
            {"image": {"choices": {"maps": choice(image="x/maps:1", environment={"A": "1"})}}},
            mem_limit="4G",
            environment={"B": "2"},
        )
    )
    assert found["images"]["maps"]["kubespawner_override"] == {"environment": {"A": "1"}}
    assert found["nodes"]["big"]["kubespawner_override"] == {"environment": {"B": "2"}}


@pytest.mark.parametrize(
    ("override", "place", "words"),
    [
        ({"pod_name": "x", "profile_list": []}, "profile_list", "is decided by the description"),
        ({"environment": {"API_TOKEN": "x"}}, "environment.API_TOKEN", "looks like a secret"),
        ({"extra_pod_config": {"nodeSelector": {}}}, "extra_pod_config.nodeSelector", "would undo"),
        ({"Not one": 1}, "Not one", "is not an option of KubeSpawner"),
        ({"environment": {"A": {1: 2}}}, "environment", "has something that JSON has not"),
        ({"mem_limit": "much"}, "mem_limit", "'much' is not an amount"),
        ({"node_selector": "gpu"}, "node_selector", "'gpu' is not a mapping"),
        ({"volumes": []}, "volumes", "is added to what the chart's values have"),
    ],
)
def test_an_option_that_cannot_be_carried_is_listed(override: Any, place: str, words: str) -> None:
    assert words in uncarried(profile("One", **override))[f"{LIST}[0].kubespawner_override.{place}"]


def test_a_secret_is_in_nothing_that_is_written() -> None:
    values = with_profiles(profile("One", environment={"API_TOKEN": "hush", "MODE": "x"}))
    moved = describe(locate(values))
    assert "hush" not in repr(moved)
    assert "'MODE': 'x'" in repr(moved.description)


# Who may have what: profiles, and then the groups of each size and each image.
P = profile
BIG = {"mem_limit": "4G", "mem_guarantee": "4G"}
ONE, TWO = {"image": "x/one:1"}, {"image": "x/two:2"}


@pytest.mark.parametrize(
    ("profiles", "sizes", "images"),
    [
        ([P("A", groups=["a"], **BIG), P("Open")], {"a": ["a"], "standard": None}, {"base": None}),
        ([P("A", groups=["a"]), P("B", groups=["b"])], {"standard": ["a", "b"]}, {"base": ["a", "b"]}),
        ([P("A", groups=[], **BIG), P("Open")], {"a": [], "standard": None}, {"base": None}),
        ([P("A", groups="a", **BIG), P("Open")], {"a": [], "standard": None}, {"base": None}),
        # A choice for b in a profile for a: b alone has no size, so nobody has more than before.
        (
            [P("A", {"i": {"choices": {"one": choice(**ONE), "two": choice(["b"], **TWO)}}}, ["a"])],
            {"standard": ["a"]},
            {"one": ["a"], "two": ["b"]},
        ),
        # With a size for everybody, b would have the image without a.
        (
            [P("Open"), P("A", {"i": {"choices": {"two": choice(["b"], **TWO)}}}, ["a"], **BIG)],
            {"standard": None, "a": []},
            {"base": None, "two": []},
        ),
    ],
)
def test_groups_go_to_the_parts(profiles: Any, sizes: Any, images: Any) -> None:
    found = description(*profiles)
    assert {name: size.get("allowed_groups") for name, size in found["sizes"].items()} == sizes
    assert {name: image.get("allowed_groups") for name, image in found["images"].items()} == images


def test_groups_that_are_needed_together_are_listed() -> None:
    two = {"i": {"choices": {"two": choice(["b"], **TWO)}}}
    found = uncarried(P("Open"), P("A", two, ["a"], **BIG))
    assert found[f"{LIST}[1].profile_options.i.choices.two"].startswith(
        "somebody could have it who is in 'a' and 'b'"
    )


def test_what_can_be_combined_and_could_not_is_listed() -> None:
    found = uncarried(P("Small", **ONE), P("GPU", extra_resource_limits={"nvidia.com/gpu": 1}, **TWO))
    assert found[f"{LIST}[1]"] == (
        "size 'gpu' could not be had with every image; who may have both can now combine it with 'small'"
    )


@pytest.mark.parametrize(
    ("option", "patterns"),
    [
        (own("^x/.+:.+$"), ["^x/.+:.+$"]),
        (own(None), [".+"]),
        (own("^.+$", image="quay.io/lab/{value}"), [r"quay\.io/lab/(?:.+)"]),
        (own("^a$|^b$", image="quay.io/lab/{value}"), None),
        (own("("), None),
        (own("^.+$", image="{value}:{value}"), None),
    ],
)
def test_patterns_of_images_of_ones_own(option: Any, patterns: list[str] | None) -> None:
    found = description(P("One", {"image": {"choices": {"one": choice(**ONE)}} | option}))
    assert found.get("own_image", {}).get("patterns") == patterns


def test_a_pattern_that_looked_only_at_the_beginning_is_anchored_and_that_is_said() -> None:
    found = uncarried(P("One", {"image": own("^quay.io/lab/")}))
    assert "the whole name has to match" in found[f"{LIST}[0].profile_options.image.unlisted_choice"]


def test_of_patterns_for_different_people_those_for_most_are_carried() -> None:
    profiles = P("A", {"i": own("^a/.+$")}, ["a"]), P("Open", {"i": own("^x/.+$")})
    assert description(*profiles)["own_image"]["patterns"] == ["^x/.+$"]
    assert "for everybody" in uncarried(*profiles)[f"{LIST}[0].profile_options.i.unlisted_choice"]


def test_what_a_user_writes_that_is_no_image_is_listed() -> None:
    option = {"unlisted_choice": {"enabled": True, "kubespawner_override": {"mem_limit": "{value}G"}}}
    found = uncarried(P("One", {"memory": option}))
    assert "is not an image" in found[f"{LIST}[0].profile_options.memory.unlisted_choice"]


def test_profiles_of_hub_config_are_over_those_of_singleuser() -> None:
    values = with_profiles(P("Unused", **BIG))
    values["hub"] = {"config": {"KubeSpawner": {"profile_list": {"one": P("One", mem_limit="3G")}}}}
    moved = describe(locate(values))
    assert list(moved.description["sizes"]) == ["one"]
    assert dict(moved.uncarried)[LIST].startswith("was not used before either")


def test_a_landing_page_with_more_than_a_path_is_listed() -> None:
    assert description(defaultUrl="/lab?reset")["interfaces"]["lab"]["url"] == "/lab"
    assert "more than a path" in uncarried(defaultUrl="/lab?reset")["singleuser.defaultUrl"]
