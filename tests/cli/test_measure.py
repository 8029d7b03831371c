from __future__ import annotations

import json
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.cli import main
from scalablehub.cli.measuring import measures_as_yaml, measures_in_words
from scalablehub.description import Description, load_description, resolve
from scalablehub.description.ladder import as_written, room_of
from scalablehub.measuring.capacities import measure
from scalablehub.measuring.stating import number_on_a_node
from tests.descriptions import described
from tests.measuring.kubernetes import container, node, pod

SMALL = """\
ScalableHub:
  nodes:
    standard: {cores: 4, memory: 16G, price: 0.4}
    gpu: {cores: 8, memory: 64G, gpus: 2, reserved: {}, ladder: [1, 1/2], selector: {gpu: t4}}
  sizes:
    standard-1-2: {display_name: Half}
    gpu-1: {hidden: true}
  images:
    base: {image: "quay.io/hub/base:1"}
  interfaces:
    lab: {url: /lab}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hub.yaml"
    path.write_text(SMALL)
    return path


def over(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "over.yaml"
    path.write_text(text)
    return ["--config", str(path)]


def test_sizes_are_a_table_with_how_many_fit(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert main(["check", "--config", str(file), "--sizes"]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "size node pool cores memory GPUs price on a node",
        "standard-1-4 standard 0.875 3.6 GB 0 $0.10/h 4",
        "standard-1-2 standard 1.75 7.2 GB 0 $0.20/h 2",
        "standard-1 standard 3.5 14.4 GB 0 $0.40/h 1",
        "gpu-1-2 gpu 4 32 GB 1 2",
        "gpu-1 gpu 8 64 GB 2 1 hidden",
    ]


def test_sizes_of_this_machine_are_not_known_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = "ScalableHub: {nodes: {here: {instance: this-machine}}, sizes: {half: {node: here, share: 1/2}}}"
    assert main(["check", *over(tmp_path, text), "--sizes"]) == 0
    assert "half  here       ?      ?       ?            ?          measured where the hub runs" in (
        capsys.readouterr().out
    )


def test_a_default_that_is_taken_and_a_doubt_are_notes(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    more = over(tmp_path, "ScalableHub: {caps: {all: {memory: 1G}}}")
    assert main(["check", "--config", str(file), *more]) == 0
    first, *notes = capsys.readouterr().out.splitlines()
    assert first.startswith("The description can be used: ")
    assert [note.partition(" is ")[0] for note in notes] == [
        "note: ScalableHub.caps.all.memory",
        "note: ScalableHub.nodes.standard.reserved",
    ]


@pytest.mark.parametrize("question", [[], ["--dry-run"]], ids=["check", "dry run"])
def test_what_can_never_run_is_refused_with_its_place(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, question: list[str]
) -> None:
    override = "{extra_resource_limits: {nvidia.com/gpu: 1}}"
    more = over(tmp_path, f"ScalableHub: {{images: {{base: {{kubespawner_override: {override}}}}}}}")
    assert main(["check", "--config", str(file), *more, *question]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    place = "ScalableHub.images.base.kubespawner_override.extra_resource_limits.nvidia.com/gpu"
    assert errors == (
        f"scalablehub: {place}: 1 can never be scheduled with the sizes of 'standard': a node of it has 0 "
        "GPUs; write it at the node pool that has them\n"
    )


# -- what was measured


def measured(nodes: list[Any], pods: list[Any] | None = None, **pool: Any) -> tuple[str, str]:
    """Return the words and the YAML."""
    description = described(nodes={"a": {"cores": 4, "memory": "16G"} | pool}, sizes={}, dask=None)
    found = measure(description, nodes, pods or [])
    return measures_in_words(found, description), measures_as_yaml(found.values())


AGENT = pod(container("250m", "200Mi"), owner="DaemonSet")


def test_a_pool_is_told_part_by_part() -> None:
    words, text = measured([node()], [AGENT], reserved={"cores": 1, "memory": "4G"})
    assert [" ".join(line.split()) for line in words.splitlines()] == [
        "a: 1 node",
        "a node has 4 cores 16 GB n1",
        "kept by the machine 0.1 cores 1 GB",
        "DaemonSets take 0.25 cores 200 MB kube-system/agent",
        "other pods take 0 cores 0 bytes",
        "left for servers 3.65 cores 14.8 GB 0 GPUs, at most 109 pods",
    ]
    assert text == "nodes:\n  a: {cores: 4, memory: 16384M, reserved: {cores: 0.35, memory: 1224M}}"


@pytest.mark.parametrize(
    ("nodes", "pool", "note"),
    [
        (
            [node()],
            {"reserved": {}},
            "note: the description says 4 cores and 16 GB for servers, which is more than there is: its "
            "sizes do not pack, and the largest may never start.",
        ),
        (
            [node(gives={"memory": "8Gi"})],
            {},
            "note: the description assumes 3.5 cores and 14.4 GB for servers, which is more than there is: "
            "its sizes do not pack, and the largest may never start.",
        ),
        (
            [node("n1"), node("n2", has={"cpu": "8", "memory": "32Gi"})],
            {},
            "note: its nodes are not alike: 4 cores, 16 GB (n1); 8 cores, 32 GB (n2). What is written fits "
            "the smallest; give the others a node pool of their own.",
        ),
        (
            [node()],
            {"gpus": 1},
            "note: the description says 1 GPU, and a node gives 0 of nvidia.com/gpu; its device plugin may "
            "be missing.",
        ),
        (
            [node(gives={"pods": "3"})],
            {},
            "note: a node takes 3 more pods, and 4 servers of its smallest size would have room; raise the "
            "node's limit of pods, or leave the smallest sizes out.",
        ),
        (
            [node(), node("n2", taints=[{"key": "t", "effect": "NoSchedule"}])],
            {},
            "note: node 'n2' has its labels, but also the taint t:NoSchedule, which it does not accept",
        ),
    ],
    ids=["too much said", "too much assumed", "mixed", "no GPU", "pods", "taint"],
)
def test_what_an_admin_has_to_know_of_a_pool_is_told(
    nodes: list[Any], pool: dict[str, Any], note: str
) -> None:
    assert note in measured(nodes, **pool)[0].splitlines()


def test_a_pool_without_nodes_is_told_and_not_written() -> None:
    words, text = measured([node()], selector={"pool": "none"})
    assert words.splitlines() == [
        "a: no node is there, so nothing can be measured, and `reserved` stays the default.",
        "  Start a server of one of its sizes, and measure again while its node is there.",
    ]
    assert text == ""


def pasted(text: str) -> Description:
    return resolve(load_description(yaml.safe_load(text)))


@given(
    cores=st.integers(1000, 200_000),
    memory=st.integers(2 * 2**30, 2**42),
    kept_cores=st.integers(0, 999_999),
    kept_memory=st.integers(0, 2**30),
)
def test_what_is_pasted_is_what_is_there_and_its_ladder_packs(
    cores: int, memory: int, kept_cores: int, kept_memory: int
) -> None:
    asked = container(f"{kept_cores}u", str(kept_memory))
    has = {"cpu": f"{cores}m", "memory": str(memory)}
    _, text = measured([node(has=has, gives=has)], [pod(asked)])
    description = pasted(text)
    pool = description.nodes["a"]
    room, there = room_of(pool), Decimal(cores) / 1000 - Decimal(kept_cores) / 1_000_000
    assert as_written(float(there)) - room.cores < 0.001
    assert room.cores <= as_written(float(there))
    assert 0 <= memory - kept_memory - room.memory < 2**20
    for name, size in description.sizes.items():
        share = name.removeprefix("a-1").removeprefix("-") or "1"
        count = number_on_a_node(size, pool)
        assert count >= int(share)
        assert as_written(size.cores or 0) * int(share) <= as_written(float(there))
        assert (size.memory or 0) * int(share) <= memory - kept_memory


# -- the way to a Kubernetes cluster


def known(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
    """Return a kubeconfig."""
    written = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:9"} | (cluster or {})}],
        "users": [{"name": "one", "user": user or {}}],
    }
    return json.dumps(written)


def kubeconfig(path: Path, server: str) -> list[str]:
    (path / "kubeconfig").write_text(known({"server": server}))
    return ["--kubeconfig", str(path / "kubeconfig")]


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("question", ["--measure", "--dry-run"])
def test_an_api_server_that_is_away_is_a_sentence(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, question: str
) -> None:
    server = f"http://127.0.0.1:{closed_port()}"
    assert main(["check", "--config", str(file), question, *kubeconfig(tmp_path, server)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"scalablehub: The API server at {server} does not answer: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, " is not there; give a kubeconfig with --kubeconfig."),
        ("{", " cannot be used: "),
        ("{}", " cannot be used: "),
        ("[]", " cannot be used: "),
        (known(cluster={"server": None}), " cannot be used: "),
        (
            known(cluster={"proxy-url": "socks5://127.0.0.1:1080"}),
            " cannot be used: its proxy-url is 'socks5:",
        ),
        (
            known(cluster={"server": "https://127.0.0.1:9", "certificate-authority-data": "Zm9v"}),
            " cannot be used: ",
        ),
        (known(user={"client-certificate-data": "Zm9v", "client-key-data": "Zm9v"}), " cannot be used: "),
        (known(user={"exec": {"command": "no-such-plugin"}}), " cannot be used: "),
    ],
    ids=[
        "absent",
        "no YAML",
        "empty",
        "list",
        "no server",
        "SOCKS",
        "no authority",
        "no certificate",
        "exec",
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_a_sentence(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    assert main(["check", "--config", str(file), "--measure", "--kubeconfig", str(path)]) == 1
    errors = capsys.readouterr().err
    assert f"{path}{words}" in errors
    assert len(errors.splitlines()) == 1


def test_a_context_that_is_not_there_is_a_sentence(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path
) -> None:
    there = kubeconfig(tmp_path, "http://127.0.0.1:9")
    assert main(["check", "--config", str(file), "--measure", *there, "--context", "two"]) == 1
    assert "cannot be used: " in capsys.readouterr().err


def test_where_no_kubernetes_is_known_it_says_how_to_name_one(
    capsys: pytest.CaptureFixture[str], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes_asyncio.config import kube_config

    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    assert main(["check", "--config", str(file), "--measure"]) == 1
    assert "Sign kubectl in to one, or give --kubeconfig FILE." in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--sizes"], ["--as-user", "bob"], ["--image", "a:1"], ["--dry-run"]])
def test_one_question_is_asked_at_a_time(
    capsys: pytest.CaptureFixture[str], file: Path, other: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(file), "--measure", *other])
    assert ended.value.code == 2
