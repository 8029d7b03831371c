"""Bring a Kubernetes cluster up, use it, and take it down."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.alone import alone

from . import addons, build, containers, network, packages, parts, pki, versions
from .elsewhere import Forwarding, Loader, loading_command
from .errors import ClusterError, Elsewhere, Unsupported
from .progress import Progress
from .settings import Settings

Reach = Callable[[str, str, int], str]


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster that tests use."""

    kubeconfig: Path
    """Of an administrator."""
    kubectl: Path
    """The command, of the cluster's own version."""
    _loader: Loader = field(default_factory=Loader, init=False, compare=False, repr=False)

    @property
    def own(self) -> bool:
        """Whether this package runs the cluster: images can be loaded, and parts stopped."""
        return False

    @property
    def host_address(self) -> str:
        """Where pods reach what listens on this machine."""
        raise _elsewhere("It is not known how its pods reach this machine")

    @property
    def node_name(self) -> str:
        """Of the only node."""
        raise _elsewhere("It may have many nodes")

    @property
    def node_address(self) -> str:
        """Of the only node, where the API server and kubelet listen."""
        raise _elsewhere("It may have many nodes")

    @property
    def containerd_socket(self) -> Path:
        """Of the containerd that runs the pods."""
        raise _elsewhere("Its containerd is not here")

    def load_image(self, tar: Path, name: str) -> bool:
        """Make the image of a tar known under a name; return False if it already is."""
        return self._loader.load(tar, name)

    def load_small_images(self) -> None:
        """Load busybox and traefik, which a cluster of ours brings."""
        loading_command()
        packages.install({"busybox-static": packages.CLUSTER["busybox-static"]})
        folder = build.build(Settings.of_environment(), Progress(quiet=True)) / "images"
        for what in ("busybox", "traefik"):
            self.load_image(folder / f"{what}.tar", build.images()[what])

    @contextmanager
    def reaching(self) -> Iterator[Reach | None]:
        """Give what tells where this machine reaches a service, by namespace, name and port.

        None where services are reached at their own addresses.
        """
        forwarding = Forwarding([str(self.kubectl), "--kubeconfig", str(self.kubeconfig)])
        try:
            yield forwarding
        finally:
            forwarding.close()

    def log(self, part: str) -> Path:
        """Return where a part's output is: containerd, etcd, apiserver, kubelet …"""
        raise _elsewhere(f"The log of its {part} is not here")

    def stop(self, part: str, patience_seconds: float = 10) -> None:
        """End a part in its own way; pods stay."""
        raise _elsewhere(f"Its {part} is not stopped")

    def kill(self, part: str) -> None:
        """End a part as a crash does; pods stay."""
        raise _elsewhere(f"Its {part} is not stopped")

    def start(self, part: str) -> None:
        """Start a part, unless it runs, and wait until it works."""
        raise _elsewhere(f"Its {part} is not started")

    def run(self, name: str, arguments: Sequence[str]) -> None:
        """Start another program in the cluster's network; `stop`, `kill` and `down` end it."""
        raise _elsewhere(f"{name} cannot be run in its network")

    def kill_kubelet(self) -> None:
        """End kubelet as a crash does; pods stay, and nobody tells how they are."""
        self.kill("kubelet")


def _elsewhere(why: str) -> Elsewhere:
    return Elsewhere(f"{why}: the cluster of KUBECONFIG runs elsewhere.")


@dataclass(frozen=True)
class OwnCluster(Cluster):
    """A Kubernetes cluster of one node on this machine."""

    settings: Settings
    running: parts.Running
    described: dict[str, parts.Part]

    @property
    def own(self) -> bool:
        """Whether this package runs the cluster: images can be loaded, and parts stopped."""
        return True

    @property
    def host_address(self) -> str:
        """Where pods reach what listens on this machine."""
        return str(self.settings.host_address)

    @property
    def node_name(self) -> str:
        """Of the only node."""
        return self.settings.name

    @property
    def node_address(self) -> str:
        """Of the only node, where the API server and kubelet listen."""
        return str(self.settings.node_address)

    @property
    def containerd_socket(self) -> Path:
        """Of the containerd that runs the pods."""
        return self.settings.containerd_socket

    def load_image(self, tar: Path, name: str) -> bool:
        """Make the image of a tar known under a name; return False if it already is."""
        return containers.load_image(self.settings, tar, name)

    def load_small_images(self) -> None:
        """Do nothing: they were loaded when it came up."""

    @contextmanager
    def reaching(self) -> Iterator[Reach | None]:
        """Give None: services are reached at their own addresses."""
        yield None

    def log(self, part: str) -> Path:
        """Return where a part's output is."""
        return self.running.log(part)

    def stop(self, part: str, patience_seconds: float = 10) -> None:
        """End a part in its own way; pods stay."""
        self.running.stop(part, signal.SIGTERM, patience_seconds)

    def kill(self, part: str) -> None:
        """End a part as a crash does; pods stay."""
        self.running.stop(part, signal.SIGKILL)

    def start(self, part: str) -> None:
        """Start a part, unless it runs, and wait until it works."""
        self.running.start(part, self.described[part].arguments)
        self.running.wait(self.described[part])

    def run(self, name: str, arguments: Sequence[str]) -> None:
        """Start another program in the cluster's network; `stop`, `kill` and `down` end it."""
        if name in self.described:
            raise ClusterError(f"{name} is the name of a part of the Kubernetes cluster.")
        self.running.start(name, arguments)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one command at a time change a cluster."""
    settings.run.parent.mkdir(parents=True, exist_ok=True)
    with alone(settings.run.parent, settings.name):
        yield


def _of_kubeconfig(kubeconfig: Path) -> Cluster:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        raise Unsupported("KUBECONFIG is set, and there is no kubectl on the PATH to use it with.")
    asked = subprocess.run(
        [kubectl, "--kubeconfig", str(kubeconfig), "--request-timeout=20s", "get", "--raw", "/readyz"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise ClusterError(
            f"The cluster of KUBECONFIG ({kubeconfig}) does not answer: {asked.stderr.strip()}"
        )
    return Cluster(kubeconfig, Path(kubectl))


def _described(settings: Settings, binaries: Path) -> OwnCluster:
    described = parts.describe(settings, parts.Binaries(binaries))
    return OwnCluster(settings.kubeconfig, binaries / "kubectl", settings, parts.Running(settings), described)


def _is_up(cluster: OwnCluster) -> bool:
    """Whether every part runs, and the node is ready."""
    return all(map(cluster.running.process, cluster.described)) and parts.node_is_ready(cluster.settings)


def up(progress: Progress | None = None) -> Cluster:
    """Bring the Kubernetes cluster up, unless it is, and return it.

    With KUBECONFIG in the environment it is that cluster, which has to run already; the README of these tests
    says which rights it takes. Raises Unsupported where this machine cannot run one, ClusterError when
    something fails; nothing is left running then.
    """
    progress = progress or Progress(quiet=True)
    settings = Settings.of_environment()
    if (chosen := os.environ.get("KUBECONFIG")) and Path(chosen) != settings.kubeconfig:
        return _of_kubeconfig(Path(chosen))
    if reason := parts.check_machine():
        raise Unsupported(reason)
    with _alone(settings):
        if installed := packages.install(packages.CLUSTER):
            progress(f"installed {' '.join(installed)}")
        cluster = _described(settings, _binaries(settings, progress))
        if _is_up(cluster):
            if loaded := _load_images(cluster):
                progress(f"loaded {', '.join(loaded)}")
            progress(f"the Kubernetes cluster {settings.name} is up already")
            return cluster
        if differing := untested_packages():
            progress(f"not the Debian packages that were tested: {'; '.join(differing)}")
        try:
            _bring_up(cluster, progress)
        except BaseException:
            _down(settings)
            raise
    return cluster


def section_of_machine() -> str:
    """Return where this machine's packages are in the record of versions."""
    return f"{versions.release()} machine"


def untested_packages() -> list[str]:
    """Return a phrase for each of this machine's packages that is not as it was tested."""
    if not versions.release():
        return []
    return versions.differences(section_of_machine(), packages_of_machine())


def packages_of_machine() -> dict[str, str]:
    """Return the versions of the packages here that the Kubernetes cluster and the images are made with."""
    return versions.installed(packages.CLUSTER | packages.IMAGES)


def _binaries(settings: Settings, progress: Progress) -> Path:
    """Return the folder of the binaries that run, or else those of the sources."""
    record = settings.run / "binaries"
    if parts.Running(settings).alive() and record.exists():
        running = Path(record.read_text())
        if running.exists():
            if running != build.folder(settings):
                progress("the sources have changed since it was started: 'make cluster-down' to start anew")
            return running
    built = build.build(settings, progress)
    for folder in (settings.run, settings.pids, settings.logs):
        folder.mkdir(parents=True, exist_ok=True)
    record.write_text(str(built))
    return built


def _bring_up(cluster: OwnCluster, progress: Progress) -> None:
    settings, described = cluster.settings, cluster.described
    alive = cluster.running.alive()
    if alive and settings.namespace.exists():
        progress(f"only a part of the cluster runs ({', '.join(alive)}); starting the rest")
    else:
        # What a crash, or a restart of the machine, has left.
        _down(settings)
    settings.sockets.mkdir(parents=True, exist_ok=True)
    network.up(settings)
    network.write_plugins(settings, Path(cluster.kubectl.parent, "gate"))
    pki.make(settings)
    (settings.run / "etcd").mkdir(mode=0o700, exist_ok=True)

    def start(*names: str) -> None:
        for name in names:
            cluster.running.start(name, described[name].arguments)

    def wait(*names: str) -> None:
        for name in names:
            cluster.running.wait(described[name])

    start("containerd", "etcd")
    wait("etcd")
    start("apiserver")
    wait("containerd")
    loaded = _load_images(cluster)
    progress(f"containerd works{f', with {len(loaded)} new images' if loaded else ''}")
    wait("apiserver")
    progress("the API server is ready")
    start("controllers", "scheduler", "proxy", "policies")
    wait("policies")
    start("kubelet")
    _apply(cluster)
    wait("kubelet")
    progress("the node is ready")
    _wait_for_addons(cluster)
    wait(*described)
    progress("names resolve, and volumes can be made")


def _load_images(cluster: OwnCluster) -> list[str]:
    """Load the images that the cluster brings, and return those that were new."""
    folder = cluster.kubectl.parent / "images"
    return [name for what, name in build.images().items() if cluster.load_image(folder / f"{what}.tar", name)]


def _kubectl(cluster: OwnCluster, *arguments: str, given: str = "") -> None:
    run = subprocess.run(
        [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        log = cluster.log("apiserver")
        raise ClusterError(f"The add-ons could not be made: {run.stderr.strip()} (log: {log})")


def _apply(cluster: OwnCluster) -> None:
    _kubectl(
        *(cluster, "apply", "--server-side", "--force-conflicts", "--field-manager=scalablehub", "-f", "-"),
        given=addons.manifests(cluster.settings),
    )


def _wait_for_addons(cluster: OwnCluster, patience_seconds: float = 90) -> None:
    deadline = time.monotonic() + patience_seconds
    for namespace, name in addons.deployments():
        _kubectl(
            *(cluster, "-n", namespace, "rollout", "status", f"deployment/{name}"),
            f"--timeout={max(1, int(deadline - time.monotonic()))}s",
        )
    while not addons.names_resolve(cluster.settings):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"CoreDNS does not answer (log: kubectl --kubeconfig {cluster.kubeconfig} "
                "-n kube-system logs deployment/coredns)."
            )
        time.sleep(0.1)


def down(wipe: bool = False, progress: Progress | None = None) -> None:
    """End what `up` started, and nothing else; `wipe` removes keys, objects, images and volumes too."""
    progress = progress or Progress(quiet=True)
    settings = Settings.of_environment()
    if reason := parts.check_machine():
        raise Unsupported(reason)
    with _alone(settings):
        ended = _down(settings)
        if wipe:
            shutil.rmtree(settings.run, ignore_errors=True)
    what = f"{len(ended)} parts ended" if ended else "nothing was running"
    progress(
        f"the Kubernetes cluster {settings.name} is down: {what}{', its state is removed' if wipe else ''}"
    )


def _down(settings: Settings) -> list[str]:
    """End processes by id and start time, pods by our cgroup, and remove what they leave in the kernel."""
    running = parts.Running(settings)
    names = running.names()
    ended = [name for name in names if running.process(name)]
    # Kubelet first: it would start pods again. What we did not describe may talk with the API server.
    known = ["kubelet", "policies", "proxy", "scheduler", "controllers", "apiserver", "etcd"]
    others = [name for name in names if name not in [*known, "containerd"]]
    for name in [*others, *known]:
        running.stop(name, signal.SIGTERM if name in others or name == "etcd" else signal.SIGKILL)
    containers.end_members(settings)
    running.stop("containerd", signal.SIGKILL)
    containers.unmount(settings)
    network.down(settings)
    containers.remove_cgroups(settings)
    # Addresses of pods that are no more, and kubelet's links to their logs.
    shutil.rmtree(settings.run / "cni" / "addresses", ignore_errors=True)
    with suppress(FileNotFoundError):
        for link in Path("/var/log/containers").iterdir():
            if link.is_symlink() and str(link.readlink()).startswith(f"{settings.run}/"):
                link.unlink()
    shutil.rmtree(settings.sockets, ignore_errors=True)
    with suppress(OSError):
        settings.sockets.parent.rmdir()
    return ended
