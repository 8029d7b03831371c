"""The whole hub on Kubernetes, made of the shipped values files and used as people use it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.google_cloud.fake import binary as fake_gcs_server
from tests.keys import KEY_SECONDS
from tests.kubernetes.cluster import Cluster, Reach, write_image
from tests.kubernetes.deployment import crds, dask_gateway, google, object_store, values, zero_to_jupyterhub
from tests.kubernetes.images import build
from tests.kubernetes.kubectl import Kubectl
from tests.services.credentials.versitygw import binary as versitygw
from tests.stack import call, until

HUB, GATEWAY, DASK, STORE = "hub", "gateway", "dask", "store"
_STORE_PORTS = [{"port": port, "protocol": "TCP"} for port in (object_store.PORT, google.GATE)]
STORE_IMAGE = "localhost/scalablehub-store:test"
TRAEFIK_IMAGE = "localhost/traefik:v3.3.5"
PASSWORD = "the-password-of-the-tests-0123456789"
PEOPLE: dict[str, list[str]] = {
    "alice": ["research"],
    "bob": ["guests"],
    "carol": ["research"],
    "dave": ["research"],
    "erin": ["research"],
    "gina": ["research", "limnology"],
    "jo": ["research"],
    "john": ["research"],
    "jane.doe@ex.org": ["research"],
    "søren-ångström": ["research"],
    "a" * 63: ["research"],
}


@dataclass(frozen=True)
class Images:
    """Names of the images that the pods use."""

    hub: str
    user: str
    gateway: str
    traefik: str
    store: str


def _named(image: str) -> dict[str, str]:
    name, _, tag = image.rpartition(":")
    return {"name": name, "tag": tag}


def description(images: Images) -> dict[str, Any]:
    """Return what the tests' hub has over the shipped example: small sizes, the store, more images."""
    store = {"endpoint": object_store.endpoint(STORE)}
    return {
        "nodes": {
            "standard": {"cores": 2, "memory": "16G", "reserved": {"cores": 0, "memory": 0}},
            "nowhere": {"cores": 2, "memory": "16G", "selector": {"example.org/pool": "nowhere"}},
        },
        "sizes": {
            "small": {"share": None, "cores": 0.1, "memory": "1G"},
            "medium": {"share": None, "cores": 0.2, "memory": "2G"},
            "large": {"share": None, "cores": 0.3, "memory": "3G"},
            "tiny": {"order": 8, "node": "standard", "cores": 0.05, "memory": "64M"},
            "elsewhere": {"order": 9, "node": "nowhere", "cores": 0.1, "memory": "1G"},
            "giant": {"order": 10, "node": "standard", "cores": 0.1, "memory": "16G"},
        },
        "images": {
            "pangeo": {"image": images.user},
            "absent": {"order": 8, "image": "localhost/not-there:1"},
            "crashing": {
                "order": 9,
                "image": images.user,
                "kubespawner_override": {"cmd": ["sh", "-c", "echo no; exit 3"]},
            },
            "rootly": {
                "order": 10,
                "image": images.user,
                "kubespawner_override": {"privileged": True},
            },
        },
        "buckets": {
            "shared": {
                "order": 0,
                "url": "s3://shared",
                "access": "read",
                "variable": "SHARED_BUCKET",
                "datasets": {"globe_land_mask": {"path": "globe-land-mask.zarr"}},
                **store,
            },
            "scratch": {"url": "s3://scratch", **store},
            "lake": {
                "url": "gs://data/lake",
                "access": "write",
                "per_user": True,
                "variable": "LAKE_BUCKET",
                "allowed_groups": ["limnology"],
            },
        },
        "credentials": {
            "s3": {
                "backend": "versity",
                "role": None,
                "region": "us-east-1",
                "iam_endpoint": object_store.iam_endpoint(STORE),
                **store,
            },
            "google": {
                "project": "research-hub",
                "endpoint": f"{google.endpoint(STORE, google.STS)}/v1/token",
            },
        },
        "labels": {"cost-center": "geophysics"},
        "dask": {"max_workers": 4, "max_clusters": 2},
    }


@dataclass
class ResearchHub:
    """One deployment: the releases `hub` and `dask-gateway`, and what stands beside them."""

    kubectl: Kubectl
    images: Images
    base_url: str = "/"
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    credentials_token: str = field(default_factory=lambda: f"canary-{secrets.token_hex(32)}")
    proxy_token: str = field(default_factory=lambda: secrets.token_hex(32))
    changes: dict[str, Any] = field(default_factory=dict)
    gateway_changes: dict[str, Any] = field(default_factory=dict)
    reach: Reach | None = None
    """What tells where services are reached; without it at their own addresses."""

    # -- making it

    def hub_values(self) -> values.Values:
        """Return the shipped values with the tests' images, people and sizes."""
        groups: dict[str, dict[str, list[str]]] = {}
        for name, theirs in PEOPLE.items():
            for group in theirs:
                groups.setdefault(group, {"users": []})["users"].append(name)
        to_store = {
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": STORE}}}],
            "ports": _STORE_PORTS,
        }
        result = values.read_values(
            "zero-to-jupyterhub.yaml",
            values.read_values("credentials-values.yaml"),
            {
                "hub": {
                    "image": _named(self.images.hub),
                    "baseUrl": self.base_url,
                    "allowNamedServers": True,
                    "services": {
                        "dask-gateway": {"apiToken": self.token},
                        "credentials": {"apiToken": self.credentials_token},
                    },
                    "config": {
                        "ScalableHub": description(self.images),
                        "JupyterHub": {
                            "authenticator_class": "shared-password",
                            "load_groups": groups,
                            # How soon it sets the proxy's routes right.
                            "last_activity_interval": 15,
                        },
                        "SharedPasswordAuthenticator": {
                            "user_password": PASSWORD,
                            "admin_password": PASSWORD + PASSWORD,
                        },
                        "Authenticator": {"allowed_users": [*PEOPLE], "admin_users": ["admin"]},
                        "ScalableKubeSpawner": {"no_room_patience": 15},
                    },
                },
                "proxy": {"chp": {"image": _named(self.images.hub)}},
                "singleuser": {"storage": {"capacity": "1Gi"}, "startTimeout": 120},
            },
            self.changes,
        )
        result["singleuser"]["networkPolicy"]["egress"].append(to_store)
        return result

    def gateway_values(self) -> values.Values:
        """Return the shipped values with the tests' images and token."""
        result = values.read_values(
            "dask-gateway.yaml",
            {
                "gateway": {
                    "image": _named(self.images.gateway),
                    "auth": {"jupyterhub": {"apiToken": self.token, "apiUrl": self.api_url}},
                },
                "traefik": {"image": _named(self.images.traefik)},
            },
        )
        return values.merged(result, self.gateway_changes)

    @property
    def api_url(self) -> str:
        """The hub's API inside the Kubernetes cluster."""
        return f"http://hub.{HUB}:8081{self.base_url}hub/api"

    def install(self) -> None:
        """Do what the how-to says, from nothing to a hub that answers."""
        # A run that was killed leaves people's servers and homes, and its hub would know them.
        self.kubectl("delete", "namespace", HUB, DASK, GATEWAY, STORE, "--ignore-not-found", "--timeout=170s")
        self.kubectl.apply(crds.manifests())
        self.kubectl.apply(
            [
                _namespace(HUB, "restricted"),
                _namespace(DASK, "restricted"),
                _namespace(GATEWAY, "baseline"),
                _namespace(STORE, "baseline"),
            ]
        )
        self.kubectl("wait", "--for=condition=Established", "--all", "crd", "--timeout=60s")
        self.kubectl.apply(values.shipped("beside-the-charts.yaml"))
        self.kubectl.apply([*object_store.manifests(STORE, self.images.store), _dask_to_store()])
        self.kubectl.apply(google.manifests(STORE, self.images.store, self.images.user, KEY_SECONDS))
        self.kubectl.apply(self.credentials_manifests())
        self.upgrade_hub(wait=False)
        self.upgrade_gateway(wait=False)
        self.kubectl.wait_for_rollout("store", google.NAME, namespace=STORE)
        self.kubectl.wait_for_rollout("proxy", "hub", "credentials", namespace=HUB)
        self.kubectl.wait_for_rollout(
            dask_gateway.API, dask_gateway.CONTROLLER, dask_gateway.TRAEFIK, namespace=GATEWAY
        )

    def credentials_manifests(self) -> list[dict[str, Any]]:
        """Return what the how-to applies for the credential service, with the tests' image and store."""
        store = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "credentials-store", "namespace": HUB},
            "stringData": {
                "AWS_ACCESS_KEY_ID": object_store.ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": object_store.SECRET_KEY,
            },
        }
        objects = values.shipped("credentials.yaml")
        for manifest in objects:
            if manifest["kind"] == "Deployment":
                (container,) = manifest["spec"]["template"]["spec"]["containers"]
                container["image"] = self.images.hub
                container["env"] += google.environment(STORE)
                for variable in container["env"]:
                    if variable["name"] == "JUPYTERHUB_API_URL":
                        variable["value"] = self.api_url
        return [store, *objects]

    def upgrade_hub(self, *, wait: bool = True) -> None:
        """Apply the release `hub` with the values of this moment."""
        self.kubectl.apply(zero_to_jupyterhub.manifests(self.hub_values(), HUB, self.proxy_token))
        if wait:
            self.kubectl.wait_for_rollout("proxy", "hub", namespace=HUB)

    def upgrade_gateway(self, *, wait: bool = True) -> None:
        """Apply the release `dask-gateway`."""
        self.kubectl.apply(dask_gateway.manifests(self.gateway_values(), GATEWAY))
        if wait:
            self.kubectl.wait_for_rollout(dask_gateway.API, dask_gateway.CONTROLLER, namespace=GATEWAY)

    # -- using it

    @property
    def url(self) -> str:
        """Base URL as the machine that runs the tests reaches it, ending in '/'."""
        return f"http://{self._address(HUB, 'proxy-public', 80)}{self.base_url}"

    @property
    def store_endpoint(self) -> str:
        """The object store as the machine that runs the tests reaches it."""
        return f"http://{self._address(STORE, object_store.NAME, object_store.PORT)}"

    def _address(self, namespace: str, name: str, port: int) -> str:
        """Return where a service is reached; without the port that is HTTP's own, as browsers write it."""
        if self.reach is not None:
            return self.reach(namespace, name, port)
        service = self.kubectl.get("service", name, namespace)
        assert service is not None
        address: str = service["spec"]["clusterIP"]
        return address if port == 80 else f"{address}:{port}"

    def sign_in(self, name: str) -> Person:
        """Return somebody with a token of theirs, made with their password."""
        password = PASSWORD + PASSWORD if name == "admin" else PASSWORD
        body = json.dumps({"auth": {"username": name, "password": password}}).encode()
        status, answer = call("POST", f"{self.url}hub/api/users/{_quoted(name)}/tokens", body=body)
        assert status == 201, (status, answer)
        return Person(self, name, answer["token"])

    def logs(self) -> str:
        """Return the ends of the logs, for a failure's report."""
        tails = []
        for namespace, name in (
            (HUB, "hub"),
            (GATEWAY, dask_gateway.API),
            (GATEWAY, dask_gateway.CONTROLLER),
        ):
            text = self.kubectl("logs", f"deployment/{name}", "-n", namespace, "--tail=40", check=False)
            tails.append(f"== {name}\n{text}")
        return "\n".join(tails)


@dataclass
class Person:
    """Somebody who uses the hub over REST, and what they have running."""

    hub: ResearchHub
    name: str
    token: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Call a path below the hub's base URL and return (status, answer)."""
        data = None if body is None else json.dumps(body).encode()
        return call(method, self.hub.url + path, body=data, Authorization=f"token {self.token}", **headers)

    def _where(self, server: str) -> str:
        return f"hub/api/users/{_quoted(self.name)}/server" + (f"s/{server}" if server else "")

    def server_url(self, server: str = "") -> str:
        """Return the server's URL, ending in '/'."""
        return f"{self.hub.url}user/{_quoted(self.name)}/" + (f"{server}/" if server else "")

    def start_server(
        self, options: Mapping[str, Any] | None = None, server: str = "", timeout_seconds: float = 90
    ) -> str:
        """Start a server, wait until it is ready, and return its URL."""
        refusal = self.try_server(options, server, timeout_seconds)
        assert refusal is None, f"{self.name}: {refusal}\n{self.hub.logs()}"
        return self.server_url(server)

    def try_server(
        self, options: Mapping[str, Any] | None = None, server: str = "", timeout_seconds: float = 150
    ) -> str | None:
        """Start a server; return None once it is ready, or the sentence that a person is told."""
        status, answer = self.call("POST", self._where(server), dict(options or {}))
        if status not in (201, 202):
            return str(answer.get("message", answer) if isinstance(answer, dict) else answer)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            status, model = self.call("GET", f"hub/api/users/{_quoted(self.name)}")
            state = model["servers"].get(server) if status == 200 else None
            if state and state["ready"]:
                return None
            if status == 200 and not (state and state["pending"]):
                return self._told(server)
            time.sleep(0.2)  # the hub has no event to wait on but a stream of progress
        raise AssertionError(f"{self.name}'s server neither starts nor fails\n{self.hub.logs()}")

    def _told(self, server: str) -> str:
        """Return what the page about the failed start says: the last event of its progress."""
        _, text = self.call("GET", self._where(server) + "/progress")
        events = [json.loads(line[6:]) for line in str(text).splitlines() if line.startswith("data: ")]
        if events:
            return str(events[-1].get("message"))
        return str(text)

    def stop_server(self, server: str = "") -> None:
        """Stop a server and wait until its pod is gone."""
        status, answer = self.call("DELETE", self._where(server))
        assert status in (202, 204, 404), (status, answer)
        until(lambda: self.find_pod(server) is None, f"the pod of {self.name} ends", 90)
        # The hub finds out a moment later, and starts no other before.
        until(lambda: self._is_over(server), f"the hub knows that the server of {self.name} ended", 60)

    def _is_over(self, server: str) -> bool:
        status, model = self.call("GET", f"hub/api/users/{_quoted(self.name)}")
        return status == 404 or (status == 200 and server not in model["servers"])

    def find_pod(self, server: str = "") -> dict[str, Any] | None:
        """Return the server's pod, found by the names in its annotations."""
        for pod in self.hub.kubectl.list("pods", HUB, "component=singleuser-server"):
            annotations = pod["metadata"]["annotations"]
            if (
                annotations.get("hub.jupyter.org/username") == self.name
                and annotations.get("hub.jupyter.org/servername", "") == server
            ):
                return pod
        return None

    def pod(self, server: str = "") -> dict[str, Any]:
        """Return the server's pod, which is there."""
        found = self.find_pod(server)
        assert found is not None, f"{self.name} has no pod"
        return found

    def run_python(self, code: str, *arguments: str, server: str = "", timeout_seconds: float = 180) -> Any:
        """Run a program in the server's pod, and return the last line that it prints, as JSON."""
        name = self.pod(server)["metadata"]["name"]
        text = self.hub.kubectl.execute(
            name, HUB, "python3", "-", *arguments, given=code, timeout_seconds=timeout_seconds
        )
        return json.loads(text.strip().splitlines()[-1])


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="@")


def _namespace(name: str, standard: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": standard}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _dask_to_store() -> dict[str, Any]:
    """Return the policy that the tests' own store needs: a cloud's is outside, and open already."""
    to = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": STORE}}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "dask-to-store", "namespace": DASK},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": to, "ports": _STORE_PORTS}],
        },
    }


def load_images(cluster: Cluster, folder: Path) -> Images:
    """Build the images of the hub, of people's servers and of the gateway, and load them.

    Args:
        cluster: that gets them.
        folder: for files that are only needed meanwhile.
    """
    names = {}
    for part in ("hub", "user", "gateway"):
        image = build(part)
        cluster.load_image(image.path, image.name)
        names[part] = image.name
    tar = folder / "store.tar"
    write_image(
        tar,
        STORE_IMAGE,
        {"/bin/versitygw": versitygw(), "/bin/fake-gcs-server": fake_gcs_server()},
        {"Env": ["PATH=/bin", "HOME=/data"]},
    )
    cluster.load_image(tar, STORE_IMAGE)
    tar.unlink()
    return Images(**names, traefik=TRAEFIK_IMAGE, store=STORE_IMAGE)


def seed(endpoint: str, folder: Path) -> None:
    """Copy the sample data of a hub on one machine into the store, bucket by bucket."""
    import s3fs

    files = s3fs.S3FileSystem(
        key=object_store.ACCESS_KEY, secret=object_store.SECRET_KEY, endpoint_url=endpoint, anon=False
    )
    for bucket in ("shared", "scratch"):
        files.makedirs(bucket, exist_ok=True)
    files.put(f"{folder}/", "shared/", recursive=True)
