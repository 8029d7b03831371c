from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from scalablehub.cli import main

ROOT = Path(__file__).parents[2]
VALUES = ROOT / "docs" / "how-to" / "values" / "zero-to-jupyterhub.yaml"
SMALL = """\
ScalableHub:
  nodes:
    standard: {cores: 4, memory: 16G, reserved: {}}
  sizes:
    small: {order: 1, node: standard, share: 1/4}
    large: {order: 2, node: standard, share: 1, allowed_groups: [research], locked: Ask us.}
    secret: {order: 3, node: standard, share: 1/2, allowed_groups: [staff]}
  images:
    base: {image: "quay.io/hub/base:1"}
  interfaces:
    lab: {url: /lab}
  buckets:
    scratch: {url: "s3://scratch", access: write, per_user: true}
  dask: {allowed_groups: [research], max_workers: 6, max_clusters: 1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hub.yaml"
    path.write_text(SMALL)
    return path


def test_a_good_description_is_told_so(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert main(["check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == (
        "The description can be used: 3 sizes, 1 image, 1 interface, 1 bucket, Dask.\n"
    )


def test_a_bucket_of_another_region_is_told(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("ScalableHub: {region: eu-west-1, buckets: {scratch: {region: us-east-1}}}")
    assert main(["check", "--config", str(file), "--config", str(over)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "Take care: ScalableHub.buckets.scratch.region is us-east-1 and the hub is in eu-west-1: reading "
        "across regions is slower, and each byte costs; use a copy in the hub's region."
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", (1, "ScalableHub.buckets: let nobody start a server. For 'anybody', buckets")),
        (", allowed_groups: [ice]", (0, "ScalableHub.buckets differ too much for one person. For")),
        (", anonymous: true", (0, "")),
    ],
)
def test_buckets_that_no_one_server_can_have_are_told_before_somebody_meets_it(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, more: str, told: tuple[int, str]
) -> None:
    over = tmp_path / "over.yaml"
    other = f"{{url: 's3://other', endpoint: 'https://store.example.org'{more}}}"
    over.write_text(f"ScalableHub: {{buckets: {{other: {other}}}}}")
    assert main(["check", "--config", str(file), "--config", str(over)]) == told[0]
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert told[1] in said
    assert ("differ in endpoint" in said) is bool(told[1])


def test_who_would_be_refused_is_told_with_what_they_may_have(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    over = tmp_path / "over.yaml"
    other = "{url: 's3://other', endpoint: 'https://store.example.org', allowed_groups: [ice]}"
    over.write_text(f"ScalableHub: {{buckets: {{other: {other}}}}}")
    command = ["check", "--config", str(file), "--config", str(over), "--as-user", "alice"]
    assert main(command) == 0
    assert "do not start" not in capsys.readouterr().out
    assert main([*command, "--group", "ice"]) == 0
    assert "\n\nTheir servers do not start. For 'alice', buckets" in capsys.readouterr().out


def test_more_buckets_than_keys_can_open_are_told_before_somebody_meets_it(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    buckets = {
        f"team-{number}": {"url": f"s3://{'x' * 50}/team-{number}", "allowed_groups": [f"team-{number}"]}
        for number in range(20)
    }
    keys = {
        "s3": {
            "backend": "sts",
            "role": "arn:aws:iam::123456789012:role/buckets",
            "lists_buckets": False,
        }
    }
    over = tmp_path / "over.yaml"
    over.write_text(json.dumps({"ScalableHub": {"buckets": buckets, "credentials": keys}}))
    assert main(["check", "--config", str(file), "--config", str(over)]) == 0
    first, caution = capsys.readouterr().out.splitlines()
    assert first.endswith("21 buckets, Dask, keys for buckets.")
    assert caution.startswith("Take care: ScalableHub.buckets are many for one person. The 21 buckets of")


def test_the_shipped_values_for_keys_go_over_the_shipped_values(capsys: pytest.CaptureFixture[str]) -> None:
    keys = VALUES.with_name("credentials-values.yaml")
    assert main(["check", "--config", str(VALUES), "--config", str(keys)]) == 0
    assert capsys.readouterr().out == (
        "The description can be used: 3 sizes, 1 image, 3 interfaces, 1 bucket, Dask, keys for buckets.\n"
    )


def test_the_shipped_values_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(VALUES)]) == 0
    assert capsys.readouterr().out == (
        "The description can be used: 3 sizes, 1 image, 3 interfaces, 1 bucket, Dask.\n"
    )


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (
            "images: {base: {image: null, prefix: /opt/conda}}",
            "ScalableHub.images.base.image: is missing; write the container",
        ),
        ("directories: {all: {path: /srv, mount: /srv}}", "ScalableHub.directories.all.claim: is missing"),
        (
            "nodes: {standard: {kubespawner_override: {image_pull_polcy: Always}}}",
            "ScalableHub.nodes.standard.kubespawner_override.image_pull_polcy: ",
        ),
    ],
)
def test_what_a_hub_in_kubernetes_would_not_start_with_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, over: str, words: str
) -> None:
    other = tmp_path / "over.yaml"
    other.write_text(f"hub: {{config: {{ScalableHub: {{{over}}}}}}}")
    values = tmp_path / "values.yaml"
    values.write_text(f"hub:\n  config:\n{textwrap.indent(SMALL, '    ')}")
    assert main(["check", "--config", str(values)]) == 0
    assert main(["check", "--config", str(values), "--config", str(other)]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "containers", ["[{name: a, resources: [{limits: {cpu: 1}}]}]", "5", "[{resources: {limits: 3}}]"]
)
def test_containers_that_are_none_are_no_traceback(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, containers: str
) -> None:
    other = tmp_path / "over.yaml"
    other.write_text(
        f"ScalableHub: {{interfaces: {{lab: {{kubespawner_override: {{extra_containers: {containers}}}}}}}}}"
    )
    assert main(["check", "--config", str(file), "--config", str(other)]) == 0
    assert capsys.readouterr().out.startswith("The description can be used: 3 sizes")


def test_sizes_of_a_machine_that_is_measured_later_may_be_changed(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "over.yaml"
    other.write_text(
        "ScalableHub: {nodes: {here: {instance: this-machine}}, sizes: {here-1-2: {display_name: Half}}}"
    )
    assert main(["check", "--config", str(file), "--config", str(other)]) == 0
    assert capsys.readouterr().out.startswith("The description can be used: 4 sizes")


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ("ScalableHub: {sizes: {small: {node: nowhere}}}", "ScalableHub.sizes.small.node: "),
        ("ScalableHub: {images: null}", "ScalableHub.images: is empty"),
        ("ScalableHub: {imagse: {}}", "ScalableHub.imagse: unknown key"),
    ],
)
def test_a_bad_one_is_refused_with_the_place(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, over: str, words: str
) -> None:
    other = tmp_path / "over.yaml"
    other.write_text(over)
    assert main(["check", "--config", str(file), "--config", str(other)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors


@pytest.mark.parametrize(
    ("groups", "table"),
    [
        (
            ["guests"],
            [
                "bob, in guests:",
                "",
                "size       small    yes     1 core, 4 GB     for everybody  [ScalableHub.sizes.small]",
                "size       large    locked  4 cores, 16 GB   Ask us.  "
                "[ScalableHub.sizes.large.allowed_groups]",
                "size       secret   hidden  2 cores, 8 GB    only for members of staff  "
                "[ScalableHub.sizes.secret.allowed_groups]",
                "image      base     yes                      for everybody  [ScalableHub.images.base]",
                "interface  lab      yes                      for everybody  [ScalableHub.interfaces.lab]",
                "bucket  scratch  yes  read and write, s3://scratch/bob  for everybody  "
                "[ScalableHub.buckets.scratch]",
                "dask                hidden                   only for members of research  "
                "[ScalableHub.dask.allowed_groups]",
                "",
                'The data, in a notebook: intake.open_catalog(os.environ["HUB_CATALOG"])',
            ],
        ),
    ],
)
def test_it_shows_what_somebody_may_have_and_why(
    capsys: pytest.CaptureFixture[str], file: Path, groups: list[str], table: list[str]
) -> None:
    arguments = [word for group in groups for word in ("--group", group)]
    assert main(["check", "--config", str(file), "--as-user", "bob", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [" ".join(line.split()) for line in table]


def test_data_sets_stand_below_their_bucket(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    over = tmp_path / "over.yaml"
    era5 = {"path": "era5.zarr", "size": "2T", "description": "Reanalysis."}
    buckets = {"ice": {"url": "s3://data/ice", "allowed_groups": ["ice"], "datasets": {"era5": era5}}}
    over.write_text(json.dumps({"ScalableHub": {"buckets": buckets}}))
    arguments = ["check", "--config", str(file), "--config", str(over), "--as-user", "bob"]
    assert main([*arguments, "--group", "ice"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert (
        "data set era5 yes s3://data/ice/era5.zarr, zarr, 2 TB for members of ice "
        "[ScalableHub.buckets.ice.datasets.era5]"
    ) in lines
    assert main(arguments) == 0
    assert "era5" not in capsys.readouterr().out


def test_members_see_the_limits_of_their_clusters(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert main(["check", "--config", str(file), "--as-user", "alice", "--group", "research"]) == 0
    last = capsys.readouterr().out.splitlines()[-3]
    assert " ".join(last.split()) == (
        "dask yes 1 cluster of 6 workers for members of research [ScalableHub.dask.allowed_groups]"
    )
