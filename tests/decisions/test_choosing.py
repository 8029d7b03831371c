from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.decisions import Decision, Refusal, User, choose, decide, remembered
from scalablehub.description import resolve
from tests.descriptions import anything, described

GROUPS = ("research", "staff")
NAMES = ("small", "large", "secret", "base", "geo", "lab", "rstudio", "", "nope")


def decision(*groups: str, **sections: Any) -> Decision:
    return decide(resolve(described(**sections)), User("alice", frozenset(groups)))


def refusal(options: object, *groups: str, **sections: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        choose(decision(*groups, **sections), options)
    return raised.value


options = st.dictionaries(
    st.sampled_from(["size", "image", "interface"]), st.sampled_from(NAMES) | st.none() | anything
)


@pytest.mark.parametrize(
    ("sent", "selected"),
    [
        ({}, ("small", "base", "lab")),
        ({"size": None, "image": None, "interface": None}, ("small", "base", "lab")),
        ({"size": "small"}, ("small", "base", "lab")),
        ({"image": "geo"}, ("small", "geo", "lab")),
        ({"image": "geo", "interface": "rstudio"}, ("small", "geo", "rstudio")),
        ({"interface": "rstudio"}, ("small", "geo", "rstudio")),
        ({"size": "large", "image": "geo", "interface": "lab"}, ("large", "geo", "lab")),
    ],
    ids=str,
)
def test_what_is_left_out_is_the_first_that_fits(sent: dict[str, Any], selected: tuple[str, ...]) -> None:
    assert tuple(choose(decision("research"), sent).as_options().values()) == selected


@pytest.mark.parametrize(
    ("sent", "code", "status", "sentence"),
    [
        ({"size": "large"}, "size-locked", 403, "large cannot be chosen: Ask the research group."),
        ({"size": "secret"}, "size-unknown", 400, "There is no size 'secret' for you; choose small."),
        ({"size": "nope"}, "size-unknown", 400, "There is no size 'nope' for you; choose small."),
        ({"size": ""}, "size-unknown", 400, "There is no size '' for you; choose small."),
        ({"size": "small\n"}, "size-unknown", 400, "There is no size 'small\\n' for you; choose small."),
        ({"size": "SMALL"}, "size-unknown", 400, "There is no size 'SMALL' for you; choose small."),
        ({"image": "nope"}, "image-unknown", 400, "There is no image 'nope' for you; choose base or geo."),
        (
            {"interface": "vim"},
            "interface-unknown",
            400,
            "There is no interface 'vim' for you; choose lab.",
        ),
        (
            {"image": "base", "interface": "rstudio"},
            "interface-not-in-image",
            400,
            "base has no RStudio; choose lab.",
        ),
        (
            {"profile": "gpu"},
            "option-unknown",
            400,
            "'profile' is not a choice of this hub; choose size, image or interface.",
        ),
        (
            {"size": "{{ 7 * 7 }}"},
            "size-unknown",
            400,
            "There is no size '{{ 7 * 7 }}' for you; choose small.",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_the_users_to_choose_is_refused(
    sent: dict[str, Any], code: str, status: int, sentence: str
) -> None:
    refused = refusal(sent)
    assert (refused.code, refused.status, refused.message) == (code, status, sentence)


@pytest.mark.parametrize("kind", ["size", "image", "interface"])
@pytest.mark.parametrize(
    "value",
    [["small"], [], {"name": "small"}, {}, 1, 0, 1.5, True, False, ["x" * 10_000]],
    ids=lambda v: repr(v)[:20],
)
def test_a_choice_that_is_no_name_is_refused(kind: str, value: object) -> None:
    refused = refusal({kind: value})
    assert (refused.code, refused.status) == (f"{kind}-malformed", 400)
    assert refused.message.startswith(f"The {kind} must be a name, not ")


@pytest.mark.parametrize("sent", [None, [], ["size", "small"], "size=small", 1, True], ids=repr)
def test_options_that_are_no_mapping_are_refused(sent: object) -> None:
    assert refusal(sent).code == "options-malformed"


@pytest.mark.parametrize(
    "sent", [{"size": "x" * 10_000}, {"x" * 10_000: 1}, "x" * 10_000], ids=["value", "key", "all"]
)
def test_a_refusal_of_long_input_is_short(sent: object) -> None:
    assert len(refusal(sent).message) < 250


def test_an_interface_that_is_hidden_is_not_told_from_one_that_is_not_there() -> None:
    interfaces = {"lab": {"url": "/lab"}, "secret": {"url": "/s", "allowed_groups": ["staff"]}}
    images = {"base": {"image": "x", "interfaces": ["lab"]}, "other": {"image": "y"}}
    hidden = refusal({"image": "base", "interface": "secret"}, interfaces=interfaces, images=images)
    absent = refusal({"image": "base", "interface": "absent"}, interfaces=interfaces, images=images)
    assert hidden.message.replace("secret", "absent") == absent.message


def test_a_refusal_never_lists_what_is_hidden() -> None:
    interfaces = {
        "lab": {"url": "/lab"},
        "rstudio": {"url": "/rstudio"},
        "secret": {"url": "/s", "allowed_groups": ["staff"]},
    }
    images = {"base": {"image": "x", "interfaces": ["lab", "secret"]}}
    refused = refusal({"image": "base", "interface": "rstudio"}, interfaces=interfaces, images=images)
    assert refused.message == "base has no rstudio; choose lab."


def test_an_image_without_any_interface_is_passed_over() -> None:
    images = {"bare": {"order": 1, "image": "x", "interfaces": []}, "full": {"order": 2, "image": "y"}}
    assert choose(decision(images=images), {}).image.name == "full"


def test_an_image_without_any_interface_that_is_asked_for_is_refused() -> None:
    images = {"bare": {"order": 1, "image": "x", "interfaces": []}, "full": {"order": 2, "image": "y"}}
    assert refusal({"image": "bare"}, images=images).code == "interface-none"
    assert refusal({"image": "bare", "interface": "lab"}, images=images).message == (
        "bare has no JupyterLab; ask the hub's admin."
    )


@pytest.mark.parametrize("section", ["sizes", "images", "interfaces"])
def test_a_hub_with_nothing_to_choose_says_so(section: str) -> None:
    empty: dict[str, Any] = {section: {}}
    if section == "sizes":
        empty["nodes"] = {}
    if section == "interfaces":
        empty["images"] = {"base": {"image": "x"}}
    refused = refusal({}, **empty)
    assert refused.message == f"There is no {section[:-1]} that you may choose on this hub; ask its admin."


@given(st.sets(st.sampled_from(GROUPS)), options | anything)
def test_choose_never_returns_what_decide_did_not_leave_open(groups: set[str], sent: Any) -> None:
    decided = decision(*groups)
    try:
        selection = choose(decided, sent)
    except Refusal as refused:
        assert refused.status in {400, 403}
        return
    assert selection.size in decided.sizes and selection.size.is_open
    assert selection.image in decided.images and selection.image.is_open
    assert selection.interface in decided.interfaces and selection.interface.is_open
    assert selection.interface.name in selection.image.interfaces


@given(st.sets(st.sampled_from(GROUPS)), options)
def test_what_was_chosen_can_be_chosen_again(groups: set[str], sent: Any) -> None:
    decided = decision(*groups)
    try:
        selection = choose(decided, sent)
    except Refusal:
        return
    assert choose(decided, selection.as_options()) == selection
    assert remembered(decided, selection.as_options()) == (selection, [])


@given(st.sets(st.sampled_from(GROUPS)), options | anything)
def test_remembered_never_raises_and_always_finds_something(groups: set[str], earlier: Any) -> None:
    selection, _ = remembered(decision(*groups), earlier)
    assert selection is not None and selection.size.is_open


@pytest.mark.parametrize(
    ("earlier", "selected", "notes"),
    [
        (None, ("small", "base", "lab"), 0),
        ({}, ("small", "base", "lab"), 0),
        ({"profile": "gpu"}, ("small", "base", "lab"), 0),
        ({"size": "large", "image": "geo", "interface": "rstudio"}, ("small", "geo", "rstudio"), 1),
        ({"size": "small", "image": "gone", "interface": "rstudio"}, ("small", "geo", "rstudio"), 1),
        ({"size": ["small"], "image": {}, "interface": 1}, ("small", "base", "lab"), 3),
        ({"image": "base", "interface": "rstudio"}, ("small", "base", "lab"), 1),
    ],
    ids=str,
)
def test_an_earlier_choice_falls_to_the_nearest_that_is_open(
    earlier: Any, selected: tuple[str, ...], notes: int
) -> None:
    selection, said = remembered(decision(), earlier)
    assert selection is not None
    assert tuple(selection.as_options().values()) == selected
    assert len(said) == notes and all(note.startswith("Your last choice has changed: ") for note in said)


def test_remembered_is_nothing_only_if_nothing_can_be_started() -> None:
    selection, notes = remembered(decision(nodes={}, sizes={}, dask=None), {"image": "geo"})
    assert selection is None
    assert notes == ["There is no size that you may choose on this hub; ask its admin."]


OWN = {"patterns": [r"quay\.io/pangeo/.*", r"ghcr\.io/lab/r:[0-9.]+"], "interfaces": ["lab"]}


@pytest.mark.parametrize(
    "reference",
    ["quay.io/pangeo/base:2026.1", "quay.io/pangeo/base@sha256:" + "a" * 64, "ghcr.io/lab/r:4.5"],
)
def test_an_image_that_the_user_names_is_theirs_if_the_whole_of_it_matches(reference: str) -> None:
    selection = choose(decision(own_image=OWN), {"image": f"own:{reference}"})
    assert (selection.image.image, selection.image.display_name) == (reference, reference)
    assert selection.interface.name == "lab"
    assert selection.as_options()["image"] == f"own:{reference}"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("own", "image-unnamed"),
        ("own:", "image-unnamed"),
        ("own:docker.io/pangeo/base:1", "image-not-allowed"),
        ("own:evil.io/quay.io/pangeo/base:1", "image-not-allowed"),
        ("own:ghcr.io/lab/r:4.5@evil/x", "image-not-allowed"),
        ("own:ghcr.io/lab/r:4.5\n", "image-malformed"),
        ("own:ghcr.io/lab/r:{username}", "image-malformed"),
        ("own:quay.io/pangeo/base:1 --privileged", "image-malformed"),
        ("own:quay.io/pangeo/" + "x" * 400, "image-malformed"),
        ("own:quay.io/pangeo/b\u0430se:1", "image-malformed"),
        ("Own:quay.io/pangeo/base:1", "image-unknown"),
        ("owner:quay.io/pangeo/base:1", "image-unknown"),
    ],
)
def test_any_other_image_of_ones_own_is_refused(name: str, code: str) -> None:
    assert refusal({"image": name}, own_image=OWN).code == code


def test_an_empty_list_of_patterns_allows_no_image() -> None:
    assert refusal({"image": "own:quay.io/pangeo/base:1"}, own_image={"patterns": []}).status == 403


@pytest.mark.parametrize(
    ("section", "code"),
    [
        (None, "image-unknown"),
        (OWN | {"allowed_groups": ["staff"]}, "image-unknown"),
        (OWN | {"allowed_groups": ["staff"], "locked": "Ask the staff."}, "image-locked"),
    ],
    ids=["no such thing", "hidden", "locked"],
)
def test_only_those_who_are_allowed_name_an_image(section: Any, code: str) -> None:
    assert refusal({"image": "own:quay.io/pangeo/base:1"}, own_image=section).code == code
    if section:
        assert choose(decision("staff", own_image=section), {"image": "own:quay.io/pangeo/base:1"})


def test_an_image_of_ones_own_that_is_no_longer_allowed_falls_to_another_with_a_note() -> None:
    selection, notes = remembered(decision(own_image=OWN), {"image": "own:old.io/x:1", "size": "small"})
    assert selection is not None
    assert selection.image.name == "base"
    assert notes == [
        "Your last choice has changed: 'old.io/x:1' is not among the images that this hub allows; "
        "ask its admin."
    ]


def test_an_image_of_ones_own_has_only_the_interfaces_that_it_may_have() -> None:
    refused = refusal({"image": "own:quay.io/pangeo/base:1", "interface": "rstudio"}, own_image=OWN)
    assert refused.code == "interface-not-in-image"
