"""Who asks, in Kubernetes: a token that is bound to a pod, the pod as it is now, and whose the pod is.

* The token is one that Kubernetes signed for our audience; Kubernetes itself says whether it is good.
* The pod that it names has to be there with the id that it names, and not on its way out.
* A server's owner is in the annotation that the hub wrote. A Dask pod's is in the DaskCluster that made it,
  found by its id. Users can write neither, and nobody is believed by a label.

Sources: "TokenReview" and "ServiceAccount token volume projection" in Kubernetes' documentation.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import aiohttp
from kubernetes_asyncio import client, config

from scalablehub.errors import PublicError
from scalablehub.pods.naming import SERVER_OF_CLUSTER, SERVERNAME, USERNAME
from scalablehub.services.credentials.hub_users import Grace, HubUsers, running_server, stopped
from scalablehub.services.credentials.identity import Person
from scalablehub.services.credentials.settings import Namespaces
from scalablehub.services.credentials.tokens import decoded
from scalablehub.services.freshness import Freshness
from scalablehub.storage.credentials import AUDIENCE

log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_GROUP, _VERSION, _PLURAL = "gateway.dask.org", "v1alpha1", "daskclusters"
_MOST_CHARACTERS = 16384
_TIMEOUT_SECONDS = 1.0
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True)
class PodOfToken:
    """The pod that a token is bound to, and when the token ends in seconds since the epoch."""

    namespace: str
    name: str
    uid: str
    expires: int


@dataclass(frozen=True)
class Owner:
    """Whose a pod is.

    Attributes:
        user: the hub's name of them.
        server: name of the server, or of that which a cluster was started from; None if from none.
        cluster: name of the Dask cluster; empty for a server.
    """

    user: str
    server: str | None
    cluster: str = ""


class Pods(Protocol):
    """What is asked of Kubernetes."""

    async def of_token(self, token: str) -> PodOfToken | None:
        """Return the pod that a token of our audience is bound to; None if it is not good."""

    async def owner(self, pod: PodOfToken) -> Owner | None:
        """Return whose a pod is; None if it is not there any more, or nobody's."""

    async def close(self) -> None:
        """Disconnect."""


class PodIdentity:
    """Tokens of Kubernetes, for pods that are there.

    A server's pod gets credentials while the hub says that the server runs. Those of a Dask cluster get them
    for `grace_seconds` after their server was last seen to run; of one that was started from none, always.

    Args:
        users: the hub's.
        pods: those of Kubernetes.
        grace_seconds: as above.
        freshness_seconds: how old an answer about a pod may be.
        review_seconds: how long a token that was good is; its pod is looked at all the same.
    """

    def __init__(
        self,
        users: HubUsers,
        pods: Pods,
        *,
        grace_seconds: float = 300,
        freshness_seconds: float = 2,
        review_seconds: float = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._pods = pods
        self._clock = clock
        self._grace = Grace(grace_seconds)
        self._tokens: Freshness[bytes, PodOfToken] = Freshness(review_seconds, 10_000)
        self._owners: Freshness[PodOfToken, Owner] = Freshness(freshness_seconds, 10_000)

    async def person(self, bearer: str) -> Person:
        """Return who a pod's token belongs to."""
        if len(bearer) > _MOST_CHARACTERS or not bearer.isascii():
            raise _refused()
        pod = await self._tokens.read(sha256(bearer.encode()).digest(), lambda: self._review(bearer))
        return await self._person(pod)

    async def again(self, person: Person) -> Person:
        """Return the same person as the hub and Kubernetes know them now; a pod's token is renewed."""
        return await self._person(person.proof)

    async def _review(self, bearer: str) -> PodOfToken:
        pod = await _asked(self._pods.of_token(bearer))
        if pod is None:
            raise _refused()
        return pod

    async def _person(self, pod: PodOfToken) -> Person:
        async def ask() -> Owner:
            owner = await _asked(self._pods.owner(pod))
            if owner is None:
                raise stopped()
            return owner

        owner = await self._owners.read(pod, ask)
        model = await self._users.model(owner.user)
        if owner.server is not None:
            runs = running_server(model, owner.server) is not None
            server = (owner.user, owner.server)
            self._grace.require(server, self._clock(), runs=runs, is_cluster=bool(owner.cluster))
        groups = frozenset(model.get("groups") or ())
        return Person(owner.user, groups, owner.server, owner.cluster, pod.expires, pod)

    async def close(self) -> None:
        """Give up the questions that are still open, and disconnect."""
        await self._tokens.close()
        await self._owners.close()
        await self._users.close()
        await self._pods.close()


class KubernetesPods:
    """The API server, asked with the service's own account.

    It needs `create` on `tokenreviews`, `get` on pods in both namespaces, and `get` on daskclusters.
    """

    def __init__(self, api: client.ApiClient, namespaces: Namespaces) -> None:
        self._api = api
        self._namespaces = namespaces
        self._reviews, self._core = client.AuthenticationV1Api(api), client.CoreV1Api(api)
        self._objects = client.CustomObjectsApi(api)

    async def of_token(self, token: str) -> PodOfToken | None:
        """Return the pod that a token of our audience is bound to; None if it is not good."""
        spec = client.V1TokenReviewSpec(token=token, audiences=[AUDIENCE])
        answer = await self._reviews.create_token_review(
            client.V1TokenReview(spec=spec), _request_timeout=_TIMEOUT_SECONDS
        )
        status = self._api.sanitize_for_serialization(answer).get("status") or {}
        if status.get("authenticated") is not True or AUDIENCE not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        extra = user.get("extra") or {}
        kind, _, account = str(user.get("username", "")).partition(":serviceaccount:")
        namespace = account.partition(":")[0]
        names, uids = extra.get(_POD_NAME) or [], extra.get(_POD_UID) or []
        if kind != "system" or not namespace or len(names) != 1 or len(uids) != 1:
            return None
        return PodOfToken(namespace, str(names[0]), str(uids[0]), _end_of(token))

    async def owner(self, pod: PodOfToken) -> Owner | None:
        """Return whose a pod is; None if it is not there any more, or nobody's."""
        if pod.namespace not in (self._namespaces.servers, self._namespaces.clusters):
            return None
        found = await self._pod(pod.namespace, pod.name, pod.uid)
        if found is None:
            return None
        if not found["metadata"].get("ownerReferences"):
            return _owner_of_server(found) if pod.namespace == self._namespaces.servers else None
        # dask-gateway's workers are made by their scheduler, and schedulers by the DaskCluster.
        if (scheduler := _made_by(found, "Pod")) is not None:
            found = await self._pod(pod.namespace, scheduler["name"], scheduler["uid"])
        made_by = _made_by(found, "DaskCluster")
        if made_by is None or pod.namespace != self._namespaces.clusters:
            return None
        cluster = await self._objects.get_namespaced_custom_object(
            _GROUP, _VERSION, pod.namespace, _PLURAL, made_by["name"], _request_timeout=_TIMEOUT_SECONDS
        )
        return _owner_of_cluster(cluster, made_by["uid"])

    async def _pod(self, namespace: str, name: str, uid: str) -> Mapping[str, Any] | None:
        """Return a pod that is there and not on its way out."""
        answer = await self._core.read_namespaced_pod(name, namespace, _request_timeout=_TIMEOUT_SECONDS)
        pod: Mapping[str, Any] = self._api.sanitize_for_serialization(answer)
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
        lives = "deletionTimestamp" not in metadata and phase in {"Pending", "Running"}
        return pod if lives and metadata["uid"] == uid else None

    async def close(self) -> None:
        """Disconnect."""
        await self._api.close()


async def pods_of(namespaces: Namespaces) -> KubernetesPods:
    """Return the API server of the Kubernetes cluster that this process runs in."""
    config.load_incluster_config()  # type: ignore[no-untyped-call]
    return KubernetesPods(client.ApiClient(), namespaces)


def _made_by(pod: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    """Return the one object that made a pod, if it is of that kind."""
    made_by = (pod or {}).get("metadata", {}).get("ownerReferences") or []
    return made_by[0] if len(made_by) == 1 and made_by[0]["kind"] == kind else None


def _owner_of_server(pod: Mapping[str, Any]) -> Owner | None:
    annotations = pod["metadata"].get("annotations") or {}
    user = annotations.get(USERNAME)
    return Owner(user, annotations.get(SERVERNAME, "")) if user else None


def _owner_of_cluster(cluster: Mapping[str, Any], uid: object) -> Owner | None:
    if cluster["metadata"]["uid"] != uid or "deletionTimestamp" in cluster["metadata"]:
        return None
    user = cluster["spec"].get("username")
    if not user or not cluster["spec"].get("active", True):
        return None
    server = (cluster["metadata"].get("annotations") or {}).get(SERVER_OF_CLUSTER)
    return Owner(user, server, cluster["metadata"]["name"])


def _end_of(token: str) -> int:
    """Return when a token ends; only for one that Kubernetes has found good."""
    return int(json.loads(decoded(token.split(".")[1]))["exp"])


async def _asked(answer: Awaitable[_Answer | None]) -> _Answer | None:
    """Return Kubernetes' answer, None for what is not there; raise PublicError if it cannot be known now."""
    try:
        return await answer
    except client.ApiException as error:
        if error.status == 404:
            return None
        log.warning("Kubernetes answered %s: has the service's account its rights?", error.status)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError) as error:
        log.warning("Kubernetes could not be asked: %s", type(error).__name__)
    raise _unknown()


def _refused() -> PublicError:
    return PublicError("token-refused", "This is not a token of a running pod of this hub.", 401)


def _unknown() -> PublicError:
    return PublicError(
        "kubernetes-unavailable", "Kubernetes cannot be asked who you are; try again in seconds.", 503
    )
