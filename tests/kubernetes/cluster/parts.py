"""The parts of a Kubernetes cluster: what each is started with, and how one knows that it works."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from . import containers, network, processes
from .errors import ClusterError
from .packages import PATH
from .settings import Settings

PAUSE = "localhost/pause:1"
_PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Binaries:
    """What was built."""

    folder: Path

    def __getattr__(self, name: str) -> str:
        return str(self.folder / name.replace("_", "-"))


@dataclass(frozen=True)
class Part:
    """A process of the cluster."""

    name: str
    arguments: Sequence[str]
    works: Callable[[], bool]
    patience_seconds: float = 60


def ask_api(settings: Settings, path: str, timeout_seconds: float = 5) -> tuple[int, bytes]:
    """Ask the API server as its administrator; return the status and the answer. Raises OSError."""
    context = ssl.create_default_context(cafile=str(settings.keys / "ca.crt"))
    context.load_cert_chain(settings.keys / "admin.crt", settings.keys / "admin.key")
    connection = http.client.HTTPSConnection(
        str(settings.node_address), 6443, context=context, timeout=timeout_seconds
    )
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def api_is_ready(settings: Settings) -> bool:
    """Whether the API server says that it is ready."""
    try:
        return ask_api(settings, "/readyz")[0] == 200
    except OSError:
        return False


def node_is_ready(settings: Settings) -> bool:
    """Whether the API server says that the node is ready."""
    try:
        status, answer = ask_api(settings, f"/api/v1/nodes/{settings.name}")
    except OSError:
        return False
    if status != 200:
        return False
    ready = [
        each
        for each in json.loads(answer).get("status", {}).get("conditions", [])
        if each["type"] == "Ready" and each["status"] == "True"
    ]
    # What the kubelet before this one said does not count.
    started = (settings.pids / "kubelet").stat().st_mtime
    return any(
        datetime.fromisoformat(each["lastHeartbeatTime"]).timestamp() >= int(started) for each in ready
    )


def _socket_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _answers(settings: Settings, url: str) -> bool:
    """Whether a health check that listens on the namespace's own loopback says 200."""
    request = "import sys, urllib.request as r; sys.exit(r.urlopen(sys.argv[1], timeout=2).status != 200)"
    command = network.enter(settings, sys.executable, "-IS", "-c", request, url)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _write_kubelet(settings: Settings) -> Path:
    (settings.run / "resolv.conf").write_text(f"nameserver {settings.dns_address}\n")
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(settings.node_address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(settings.keys / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{settings.cgroup}",
        "clusterDNS": [str(settings.dns_address)],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        "evictionHard": {"imagefs.available": "1%", "memory.available": "100Mi", "nodefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": 0,
        # There is no registry: an image that is deleted does not come back.
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "8760h",
        "maxPods": 200,
        "podLogsDir": str(settings.run / "pod-logs"),
        "registerNode": True,
        "resolvConf": str(settings.run / "resolv.conf"),
        "serializeImagePulls": False,
        "tlsCertFile": str(settings.keys / "kubelet.crt"),
        "tlsPrivateKeyFile": str(settings.keys / "kubelet.key"),
    }
    file = settings.run / "kubelet.json"
    file.write_text(json.dumps(configuration, indent=2))
    return file


def _write_containerd(settings: Settings) -> Path:
    file = settings.run / "containerd.toml"
    file.write_text(f"""\
version = 2
root = "{settings.run}/containerd"
state = "{settings.sockets}/containerd"

[grpc]
  address = "{settings.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  # Network namespaces of pods are then below the state, and `down` finds them there.
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{settings.run}/cni/bin"
    conf_dir = "{settings.run}/cni/conf"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
""")
    return file


def describe(settings: Settings, binaries: Binaries) -> dict[str, Part]:
    """Return the parts by name, in the order in which they are started."""
    keys, kubernetes = settings.keys, binaries.kubernetes
    # Load tests make thousands of pods; the defaults are for clusters that share their API server.
    fast = ["--kube-api-qps=500", "--kube-api-burst=1000"]
    parts = [
        Part(
            "containerd",
            ["/usr/bin/containerd", "--config", str(_write_containerd(settings))],
            partial(_socket_answers, settings.containerd_socket),
        ),
        Part(
            "etcd",
            [kubernetes, "etcd", f"--data-dir={settings.run / 'etcd'}"],
            partial(_answers, settings, "http://127.0.0.1:2379/health"),
        ),
        Part(
            "apiserver",
            [
                *(kubernetes, "kube-apiserver"),
                f"--advertise-address={settings.node_address}",
                "--allow-privileged",
                "--authorization-mode=Node,RBAC",
                f"--client-ca-file={keys / 'ca.crt'}",
                "--enable-admission-plugins=NodeRestriction",
                "--etcd-servers=http://127.0.0.1:2379",
                f"--kubelet-certificate-authority={keys / 'ca.crt'}",
                f"--kubelet-client-certificate={keys / 'admin.crt'}",
                f"--kubelet-client-key={keys / 'admin.key'}",
                "--kubelet-preferred-address-types=InternalIP",
                "--secure-port=6443",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={keys / 'tokens.key'}",
                f"--service-account-signing-key-file={keys / 'tokens.key'}",
                f"--service-cluster-ip-range={settings.service_network}",
                # A part is restarted in tests: its last requests should not hold it up.
                "--shutdown-delay-duration=0s",
                f"--tls-cert-file={keys / 'apiserver.crt'}",
                f"--tls-private-key-file={keys / 'apiserver.key'}",
            ],
            partial(api_is_ready, settings),
        ),
        Part(
            "controllers",
            [
                *(kubernetes, "kube-controller-manager"),
                "--allocate-node-cidrs=false",
                "--bind-address=127.0.0.1",
                f"--kubeconfig={keys / 'controllers.kubeconfig'}",
                f"--authentication-kubeconfig={keys / 'controllers.kubeconfig'}",
                f"--authorization-kubeconfig={keys / 'controllers.kubeconfig'}",
                "--leader-elect=false",
                f"--root-ca-file={keys / 'ca.crt'}",
                f"--service-account-private-key-file={keys / 'tokens.key'}",
                "--use-service-account-credentials",
                *fast,
            ],
            lambda: True,
        ),
        Part(
            "scheduler",
            [
                *(kubernetes, "kube-scheduler"),
                "--bind-address=127.0.0.1",
                f"--kubeconfig={keys / 'scheduler.kubeconfig'}",
                f"--authentication-kubeconfig={keys / 'scheduler.kubeconfig'}",
                f"--authorization-kubeconfig={keys / 'scheduler.kubeconfig'}",
                "--leader-elect=false",
                *fast,
            ],
            lambda: True,
        ),
        Part(
            "proxy",
            [
                *(kubernetes, "kube-proxy"),
                f"--bind-address={settings.node_address}",
                f"--cluster-cidr={settings.pod_network}",
                # These settings of the kernel belong to the whole machine.
                *("--conntrack-max-per-core=0", "--conntrack-min=0"),
                *("--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"),
                "--healthz-bind-address=127.0.0.1:10256",
                f"--hostname-override={settings.name}",
                f"--kubeconfig={keys / 'proxy.kubeconfig'}",
                "--metrics-bind-address=127.0.0.1:10249",
                "--proxy-mode=iptables",
            ],
            lambda: True,
        ),
        Part(
            "policies",
            [
                *(sys.executable, "-m", f"{__package__}.policies"),
                *("--server", settings.server, "--keys", str(keys), "--socket", str(settings.gate_socket)),
            ],
            partial(_socket_answers, settings.gate_socket),
        ),
        Part(
            "kubelet",
            [
                *(kubernetes, "kubelet"),
                f"--config={_write_kubelet(settings)}",
                f"--hostname-override={settings.name}",
                f"--kubeconfig={keys / 'kubelet.kubeconfig'}",
                f"--node-ip={settings.node_address}",
                f"--root-dir={settings.run / 'kubelet'}",
            ],
            partial(node_is_ready, settings),
        ),
    ]
    return {part.name: part for part in parts}


class Running:
    """The parts as processes of this machine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def pid_file(self, name: str) -> Path:
        """Where a part's process is recorded."""
        return self.settings.pids / name

    def log(self, name: str) -> Path:
        """Where a part's output is."""
        return self.settings.logs / f"{name}.log"

    def process(self, name: str) -> processes.Process | None:
        """Return a part's process, if it runs."""
        return processes.Process.recorded(self.pid_file(name))

    def names(self) -> list[str]:
        """Return the names of all that was started, and not yet ended on purpose."""
        return sorted(file.name for file in self.settings.pids.glob("*"))

    def alive(self) -> list[str]:
        """Return the names of all that runs."""
        return [name for name in self.names() if self.process(name)]

    def start(self, name: str, arguments: Sequence[str]) -> bool:
        """Start a part, unless it runs, in the network namespace; return whether it was started."""
        if self.process(name):
            return False
        environment = {
            "HOME": str(self.settings.run),
            "LANG": "C.UTF-8",
            "PATH": PATH,
            "PYTHONPATH": str(_PROJECT),
            "PYTHONUNBUFFERED": "1",
        }
        processes.start(
            network.enter(self.settings, *arguments),
            self.log(name),
            self.pid_file(name),
            containers.make_cgroups(self.settings),
            environment,
        )
        return True

    def wait(self, part: Part) -> None:
        """Wait until a part works; it has to stay alive meanwhile."""
        deadline = time.monotonic() + part.patience_seconds
        while not part.works():
            if not self.process(part.name):
                raise ClusterError(f"{part.name} has ended: {self.last_words(part.name)}")
            if time.monotonic() > deadline:
                patience, words = f"{part.patience_seconds:.0f} s", self.last_words(part.name)
                raise ClusterError(f"{part.name} does not work after {patience}: {words}")
            time.sleep(0.1)

    def last_words(self, name: str) -> str:
        """Return the last line of a part's log, and where the log is."""
        log = self.log(name)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return f"{lines[-1][:300] if lines else 'it wrote nothing'} (log: {log})"

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM, patience_seconds: float = 10) -> None:
        """End a part; one that does not end by itself in time is killed."""
        process = self.process(name)
        if process and not process.end(how, patience_seconds) and not process.end(signal.SIGKILL, 10):
            raise ClusterError(f"{name} (process {process.pid}) does not end (log: {self.log(name)}).")
        self.pid_file(name).unlink(missing_ok=True)


def check_machine() -> str | None:
    """Return why this machine cannot run a Kubernetes cluster, in one sentence; None if it can."""
    if sys.platform != "linux":
        return (
            "The Kubernetes cluster of the tests needs Linux; set KUBECONFIG to use one that runs elsewhere."
        )
    if os.geteuid() != 0:
        return (
            "The Kubernetes cluster of the tests needs root; set KUBECONFIG to use one that runs elsewhere."
        )
    return None
