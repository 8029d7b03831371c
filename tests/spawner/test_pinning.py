from __future__ import annotations

import asyncio
import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tornado import web

from scalablehub.decisions import Amount
from scalablehub.errors import PublicError
from scalablehub.registry import FoundImage, ImageReference, parse_reference
from scalablehub.spawner import pinning
from scalablehub.spawner.choosing import ChoosingSpawner
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.ledger import Holder, Ledger
from tests.descriptions import written
from tests.spawner.stubs import around, config

DIGEST = "sha256:" + "a" * 64
OWN = {"patterns": [r"quay\.io/pangeo/.*"], "max_size": "8G"}
ABSENT = PublicError("image-absent", "quay.io/pangeo/base has no '2'; there is 2026.1.")
AWAY = PublicError("registry-away", "quay.io cannot be asked about images: it answers 500.", 503)


class Finder:
    """What a registry says, as a test has it."""

    def __init__(self, answer: PublicError | int | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def find(self, reference: ImageReference, platform: str) -> FoundImage:
        self.asked.append(f"{reference} {platform}")
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.answer, PublicError):
            raise self.answer
        assert isinstance(self.answer, int)
        return FoundImage(reference, DIGEST, self.answer, (platform,))


@pytest.fixture(autouse=True)
def _nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())
    monkeypatch.setattr(pinning, "_PATIENCE_SECONDS", 0.05)


def make(
    monkeypatch: pytest.MonkeyPatch, answer: PublicError | int | None, image: str, **sections: Any
) -> tuple[ScalableKubeSpawner, Finder]:
    finder = Finder(answer)
    monkeypatch.setattr(ScalableKubeSpawner, "image_finder", finder)
    c = config(**{"own_image": OWN, "registries": {}} | sections)
    given = around("alice", options={"image": image})
    return ScalableKubeSpawner(config=c, _mock=True, **given), finder


async def image_of(spawner: ScalableKubeSpawner) -> str:
    await spawner.load_user_options()
    pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    return str(pod["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    ("image", "answer", "runs"),
    [
        ("geo", 5, f"quay.io/hub/geo:1@{DIGEST}"),
        ("own:quay.io/pangeo/base:2", 5, f"quay.io/pangeo/base:2@{DIGEST}"),
        ("own:quay.io/pangeo/base", 5, f"quay.io/pangeo/base:latest@{DIGEST}"),
        # What cannot be asked about starts by its tag: the node may have it.
        ("geo", AWAY, "quay.io/hub/geo:1"),
        ("geo", ABSENT, "quay.io/hub/geo:1"),
        ("geo", None, "quay.io/hub/geo:1"),
    ],
)
async def test_a_server_runs_the_image_by_its_digest_where_that_is_known(
    monkeypatch: pytest.MonkeyPatch, image: str, answer: Any, runs: str
) -> None:
    spawner, finder = make(monkeypatch, answer, image)
    assert await image_of(spawner) == runs
    assert spawner.image_of_server == (image, runs)
    assert len(finder.asked) == 1
    assert spawner.get_state()["image_of_server"] == [image, runs]


ODD = PublicError("registry-odd", "quay.io has it, but its parts have no sizes.", 503)


@pytest.mark.parametrize(
    ("max_size", "answer", "runs"),
    [(None, AWAY, True), ("8G", AWAY, False), (None, ODD, False), ("8G", ODD, False)],
)
async def test_an_image_of_ones_own_that_nobody_measured_starts_only_where_that_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, max_size: str | None, answer: PublicError, runs: bool
) -> None:
    own = {"patterns": [r"quay\.io/pangeo/.*"]} | ({"max_size": max_size} if max_size else {})
    spawner, _ = make(monkeypatch, answer, "own:quay.io/pangeo/base:2", own_image=own)
    if runs:
        assert await image_of(spawner) == "quay.io/pangeo/base:2"
        return
    with pytest.raises(web.HTTPError) as refusal:
        await spawner.load_user_options()
    assert refusal.value.status_code == 503


async def test_credentials_that_cannot_be_read_any_more_leave_the_page_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spawner, _ = make(monkeypatch, 5, "geo")
    monkeypatch.setattr(ScalableKubeSpawner, "image_finder", None)
    spawner.registry_credentials = str(tmp_path / "gone")
    assert await spawner.readiness() == {}
    assert f"{tmp_path}/gone: No such file or directory; it needs 'auths'." in caplog.text


async def test_a_digest_that_the_user_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"quay.io/pangeo/base@sha256:{'b' * 64}"
    spawner, _ = make(monkeypatch, 5, f"own:{name}")
    assert await image_of(spawner) == name


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ABSENT, "quay.io/pangeo/base has no '2'; there is 2026.1."),
        (9 * 2**30, "quay.io/pangeo/base:2 is a download of 9 GB; 8 GB is the most on this hub."),
    ],
)
async def test_an_image_of_ones_own_that_cannot_run_is_refused_before_the_start(
    monkeypatch: pytest.MonkeyPatch, answer: Any, words: str
) -> None:
    spawner, _ = make(monkeypatch, answer, "own:quay.io/pangeo/base:2")
    with pytest.raises(web.HTTPError) as refusal:
        await spawner.load_user_options()
    assert (refusal.value.status_code, refusal.value.log_message) == (400, words)


async def test_the_form_tells_it_and_keeps_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner, _ = make(monkeypatch, ABSENT, "base")
    fields = {"size": ["small"], "image": ["own"], "own_image": [" quay.io/pangeo/base:2 "]}
    with pytest.raises(web.HTTPError) as refusal:
        await spawner.run_options_from_form(fields)
    assert "has no '2'" in str(refusal.value.log_message)
    page = spawner.render_options_form()
    assert 'value="quay.io/pangeo/base:2"' in page
    assert str(refusal.value.log_message) in html.unescape(page)


@pytest.mark.parametrize(
    ("registries", "image", "asked"),
    [
        ({"pin": False}, "geo", 0),
        ({"pin": False}, "own:quay.io/pangeo/base:2", 1),
        ({"pin": False, "check": False}, "own:quay.io/pangeo/base:2", 0),
        ({"check": False}, "own:quay.io/pangeo/base:2", 1),
        ({"platform": "linux/arm64"}, "geo", 1),
    ],
    ids=str,
)
async def test_registries_are_asked_as_the_admin_says(
    monkeypatch: pytest.MonkeyPatch, registries: dict[str, Any], image: str, asked: int
) -> None:
    spawner, finder = make(monkeypatch, 5, image, registries=registries)
    pinned = await image_of(spawner)
    assert len(finder.asked) == asked
    assert ("@" in pinned) == registries.get("pin", True)
    assert all(question.endswith(registries.get("platform", "linux/amd64")) for question in finder.asked)


async def test_a_server_has_the_gpus_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = written()["nodes"] | {"standard": written()["nodes"]["standard"] | {"gpus": 4}}
    spawner, _ = make(monkeypatch, 5, "geo", nodes=nodes)
    await spawner.load_user_options()
    pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"


# Caps, after everything that an admin's own hooks do.


async def asked_for(spawner: ScalableKubeSpawner, memory: str) -> None:
    await spawner.load_user_options()
    pod = await spawner.get_pod_manifest()
    pod.spec.containers[0].resources.limits["memory"] = memory
    spawner._hold_as_made(pod)


async def test_a_hook_that_gives_more_does_not_get_around_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner, _ = make(monkeypatch, 5, "geo", caps={"all": {"memory": "8G"}})
    with pytest.raises(web.HTTPError, match="8 GB is the most that you may have at a time") as refusal:
        await asked_for(spawner, "64Gi")
    assert refusal.value.status_code == 403


async def test_what_a_hook_gives_within_the_cap_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner, _ = make(monkeypatch, 5, "geo", caps={"all": {"memory": "8G"}})
    await asked_for(spawner, "8Gi")
    held = ChoosingSpawner.ledger.total([1], besides=Holder(0, ""))
    assert held == replace(Amount(1, 0.875, 8 * 2**30), price=0)


def test_the_names_in_the_description_are_names_of_images() -> None:
    for image in written()["images"].values():
        assert parse_reference(image["image"])
