"""The Kubernetes cluster that an admin is signed in to, or that the hub runs in: asked, and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalablehub.errors import PublicError, shown

ANSWER_SECONDS = 30
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_MISSING = "This needs what is not installed ({}); run: pip install 'scalablehub[kubernetes]'"


@dataclass(frozen=True)
class Answer:
    """What the API server says to a pod: the HTTP status, a sentence of its own, and what it would make.

    What it would make has more than what was sent: defaults, and what webhooks put into it.
    """

    status: int
    message: str = ""
    pod: Mapping[str, Any] | None = None


class Cluster:
    """A Kubernetes cluster that is asked, and never changed.

    Args:
        api: kubernetes_asyncio's CoreV1Api.
        namespace: of the servers.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    async def nodes(self) -> list[dict[str, Any]]:
        """Return all nodes.

        Raises:
            PublicError: there is no answer, or no right to see them.
        """
        return await self._listed("nodes", self._api.list_node)

    async def pods(self) -> list[dict[str, Any]]:
        """Return all pods that have a node, of every namespace.

        Raises:
            PublicError: there is no answer, or no right to see them.
        """
        return await self._listed(
            "pods", self._api.list_pod_for_all_namespaces, field_selector="spec.nodeName!="
        )

    async def try_pod(self, manifest: Mapping[str, Any]) -> Answer:
        """Return what the API server says to a pod, which it does not make.

        Raises:
            PublicError: there is no answer, or no right to ask.
        """
        status, body = await self._asked(
            self._api.create_namespaced_pod, self.namespace, manifest, dry_run="All"
        )
        said = _parsed(body)
        if status in {200, 201}:
            return Answer(status, pod=said)
        answer = Answer(status, str(said.get("message", "")))
        if status == 401:
            raise _unknown()
        if status == 404 or (status == 403 and " cannot create resource " in answer.message):
            if status == 404:
                raise PublicError(
                    "no-namespace",
                    f"There is no namespace {shown(self.namespace)}; name that of the servers: --namespace.",
                )
            raise _no_right("create", "pods", f"in the namespace {shown(self.namespace)}")
        return answer

    async def _listed(
        self, resource: str, method: Callable[..., Awaitable[Any]], **words: str
    ) -> list[dict[str, Any]]:
        status, body = await self._asked(method, **words)
        if status == 401:
            raise _unknown()
        if status == 403:
            raise _no_right("list", resource, "of the whole Kubernetes cluster")
        if status != 200:
            raise PublicError(
                "api-failed",
                f"The API server answers {status} when asked for {resource}: "
                f"{shown(_parsed(body).get('message', ''), 200)}",
                502,
            )
        found: list[dict[str, Any]] = _parsed(body).get("items", [])
        return found

    async def _asked(
        self, method: Callable[..., Awaitable[Any]], *given: Any, **words: str
    ) -> tuple[int, bytes]:
        import aiohttp  # noqa: PLC0415 (what is not asked needs no client)

        try:
            answer = await method(*given, _preload_content=False, _request_timeout=ANSWER_SECONDS, **words)
            return answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            host = self._api.api_client.configuration.host
            raise PublicError(
                "api-away",
                f"The API server at {host} does not answer: {shown(str(error) or 'too late', 200)}",
                502,
            ) from None


@asynccontextmanager
async def connect(
    kubeconfig: Path | None = None, context: str | None = None, namespace: str | None = None
) -> AsyncIterator[Cluster]:
    """Yield the Kubernetes cluster of a kubeconfig, or else the one that this process runs in.

    Args:
        kubeconfig: default: what kubectl would take.
        context: of the kubeconfig. Default: its current one.
        namespace: of the servers. Default: the context's, or the pod's own.

    Raises:
        PublicError: there is none, or what is known of it cannot be used.
    """
    try:
        import yaml  # noqa: PLC0415 (comes with the client)
        from kubernetes_asyncio import client, config  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise PublicError("not-installed", _MISSING.format(error.name)) from None
    configuration = client.Configuration()
    default = Path(config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION).expanduser()
    file = str(kubeconfig or os.environ.get("KUBECONFIG") or default)
    named = kubeconfig is not None or context is not None or "KUBECONFIG" in os.environ
    if kubeconfig is not None and not kubeconfig.is_file():
        raise PublicError("unreadable", f"{kubeconfig} is not there; give a kubeconfig with --kubeconfig.")
    try:
        if named or default.is_file():
            await config.load_kube_config(file, context, configuration, persist_config=False)
            own = _namespace_of(file, context)
        elif _IN_POD.is_file():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            own = _IN_POD.read_text(encoding="utf-8").strip()
        else:
            raise PublicError(
                "no-cluster",
                "No Kubernetes cluster is known here: there is no kubeconfig, and this is no pod. "
                "Sign kubectl in to one, or give --kubeconfig FILE.",
            )
        if configuration.proxy and not configuration.proxy.startswith(("http://", "https://")):
            raise PublicError(
                "kubeconfig-unusable",
                f"{file} cannot be used: its proxy-url is {shown(configuration.proxy)}, and only proxies of "
                "HTTP can be asked; make the API server reachable in another way, such as `ssh -L`.",
            )
        api = client.ApiClient(configuration)  # reads the certificates
    except config.ConfigException as error:
        raise PublicError("kubeconfig-unusable", f"{file} cannot be used: {shown(str(error), 200)}") from None
    # What a damaged file leads to, in other people's code.
    except (
        OSError,
        ValueError,
        TypeError,
        AssertionError,
        AttributeError,
        KeyError,
        yaml.YAMLError,
    ) as error:
        words = str(error) or type(error).__name__
        raise PublicError("kubeconfig-unusable", f"{file} cannot be used: {shown(words, 200)}") from None
    async with api:
        yield Cluster(client.CoreV1Api(api), namespace or own)


def _namespace_of(file: str, context: str | None) -> str:
    from kubernetes_asyncio import config  # noqa: PLC0415 (an extra)

    contexts, active = config.list_kube_config_contexts(file)
    chosen = next((found for found in contexts if found["name"] == context), active) or {}
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"message": body[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {}


def _unknown() -> PublicError:
    return PublicError(
        "signed-out",
        "The API server does not know who asks (401); sign kubectl in again, and try `kubectl get nodes`.",
    )


def _no_right(verb: str, resource: str, where: str) -> PublicError:
    return PublicError(
        "no-right",
        f"This account may not {verb} {resource} {where}; whoever grants rights adds the verb '{verb}' on "
        f"'{resource}', or use another --context.",
        403,
    )
