"""Dask clusters as pods: dask-gateway's KubeBackend, deciding with the hub's description.

This is the API side. The controller is dask-gateway's own, as its chart runs it: it makes the pods from the
configuration that this backend writes into each DaskCluster object.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.kubernetes.backend import KubeBackend
from dask_gateway_server.backends.kubernetes.utils import parse_k8s_timestamp
from dask_gateway_server.models import Cluster, ClusterStatus
from dask_gateway_server.options import Options
from kubernetes_asyncio.client import AppsV1Api
from kubernetes_asyncio.client.rest import ApiException
from traitlets import Dict, Float, Integer

from scalablehub.dask.authenticator import Handler
from scalablehub.dask.following import EndedCluster, KeptCluster
from scalablehub.dask.keeping import KeepingClusters, refuse
from scalablehub.dask.logs import Log
from scalablehub.dask.options import LINGER, cluster_options
from scalablehub.dask.owners import ServerImage
from scalablehub.dask.patience import give_up_on_silence
from scalablehub.dask.pod_logs import PodLogs
from scalablehub.dask.pod_states import cluster_of, unschedulable, waiting_in_vain, worker_of
from scalablehub.dask.pods import pod_config
from scalablehub.dask.replicas import count_replicas, own_place
from scalablehub.dask.spending import Spent
from scalablehub.dask.workers import Worker
from scalablehub.decisions import Amount, Decision, Grant, ImageChoice, SizeChoice, scheduler_node
from scalablehub.description import Description
from scalablehub.description.units import format_seconds
from scalablehub.errors import PublicError, words_of
from scalablehub.pods import asking_in_pod, user_annotations, user_labels
from scalablehub.pods.naming import SERVER_OF_CLUSTER
from scalablehub.services.source import DescriptionSource
from scalablehub.storage.access import needs_keys

ROUTE = "/api/scalablehub/description"
REASON = "scalablehub/reason"
"""Annotation of a DaskCluster with the reason for which it was stopped, for its owner."""
ALONE_SINCE = "scalablehub/alone-since"
"""Annotation of a DaskCluster whose server has gone, with the time in seconds since 1970."""
WANTED = "scalablehub/wanted"
"""Annotation of a DaskCluster with the number of workers that its scheduler asked for."""
SPENT = "scalablehub/spent"
"""Annotation of a DaskCluster with the time of all workers that it was granted, as `Spent` writes it."""
HELD = "scalablehub/held"
"""Annotation of a DaskCluster that gets less than it wants, with the reason."""
_GROUP, _PLURAL = "gateway.dask.org", "daskclusters"
_MERGE = "application/merge-patch+json"
_STARTING = ("Pending", "Running")


class _Granted(NamedTuple):
    """What was last written into a DaskCluster: the informer sees it a little later."""

    wanted: int
    granted: int
    held: str | None


class ScalableKubeBackend(KeepingClusters, KubeBackend):  # type: ignore[misc]
    """dask-gateway's Kubernetes backend, with sizes, images and limits from the hub's description.

    * What a user may have is decided with the hub's description of this moment, and with their groups.
    * Pods have the user's labels, the node pool of their size and the restricted security context.
    * A cluster that cannot start is stopped, and its user is told why, as far as this side can see it.
    """

    bucket_keys = Dict(
        help="Static keys for buckets with an endpoint of one's own: the endpoint to "
        "{'access_key': …, 'secret_key': …}."
    ).tag(config=True)

    start_timeout = Integer(
        900,
        min=1,
        help="Seconds until a cluster without a running scheduler is stopped. A node pool may need minutes "
        "for a new node.",
    ).tag(config=True)

    hopeless_timeout = Integer(
        60,
        min=1,
        help="Seconds until a cluster is stopped whose scheduler waits for what will not come, such as an "
        "image that cannot be pulled.",
    ).tag(config=True)

    create_timeout = Integer(
        120, min=1, help="Seconds until a cluster is stopped for which no scheduler's pod could be created."
    ).tag(config=True)

    start_check_period = Float(
        5, min=0.1, help="Seconds between two looks at the clusters that are starting."
    ).tag(config=True)

    passes_heartbeats_on = False
    source: DescriptionSource
    pods: PodLogs

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._may_read_pods = self._may_list_pods = True
        self._granted: dict[str, _Granted] = {}
        self._spent: dict[str, Spent] = {}
        # Whoever asks is an object of their request, so what is remembered is no older than that.
        self._server_images: WeakKeyDictionary[Any, ServerImage | None] = WeakKeyDictionary()
        self._watching: list[asyncio.Task[None]] = []

    async def setup(self, app: web.Application) -> None:
        """Ask the hub for its description, and begin to follow the clusters."""
        await self.begin_keeping(app)
        authenticator = app["authenticator"]
        app.router.add_get(ROUTE, self._show_description)
        app.middlewares.append(say_reason)
        self.source = DescriptionSource(
            parent=self,
            api_url=authenticator.jupyterhub_api_url,
            api_token=authenticator.jupyterhub_api_token,
            ssl_context=authenticator.ssl_context,
        )
        await self.source.start()
        await super().setup(app)
        give_up_on_silence(self.api_client)
        await self._require_to_be_alone()
        self.pods = self._pods_of_clusters()
        self._watching = [asyncio.create_task(work) for work in (self._watch_starts(), self.pods.follow())]

    def _pods_of_clusters(self) -> PodLogs:
        return PodLogs(
            self.core_client,
            self.cluster_config_class(parent=self).namespace,
            self.label_selector,
            self.clusters.__contains__,
            self.log,
        )

    async def _require_to_be_alone(self) -> None:
        """End a server that is one of several: each would grant what the others grant as well."""
        place = own_place()
        if place is None:
            return
        name, namespace = place
        count = await count_replicas(
            self.core_client, AppsV1Api(self.api_client), name=name, namespace=namespace
        )
        if count is None:
            self.log.warning(
                "The gateway cannot see whether it is the only one, which limits need: allow its service "
                "account to 'get' pods and replicasets in %s",
                namespace,
            )
        elif count > 1:
            raise SystemExit(
                f"The gateway's API server has {count} replicas, and limits hold with one alone: set "
                "gateway.replicas to 1 in the values of dask-gateway's chart."
            )

    async def cleanup(self) -> None:
        """Stop following."""
        for task in self._watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.end_keeping()
        if hasattr(self, "source"):
            await self.source.stop()
        await super().cleanup()

    async def get_cluster_options(self, user: Any) -> Options:
        """Return what the user may ask for.

        Raises:
            aiohttp.web.HTTPException: they may have no clusters (403), or the hub was never heard (503).
        """
        description = self._description()
        configured = self.cluster_config_class(parent=self).to_dict()

        def pods(decision: Decision, size: SizeChoice, image: ImageChoice) -> dict[str, Any]:
            return pod_config(
                description,
                size,
                image,
                asks_for_keys=needs_keys(description.credentials, decision),
                scheduler_node=scheduler_node(description, decision, size),
                user=user.name,
                server=getattr(user, "server", None),
                configured=configured,
            )

        return cluster_options(
            description,
            lacks=self.lacks,
            bucket_keys=self.bucket_keys,
            commands=pods,
            environment=configured["environment"],
            server_image=await self._server_image(user),
            asking=asking_in_pod(description.credentials) if description.credentials is not None else None,
        )(user)

    async def _server_image(self, user: Any) -> ServerImage | None:
        """Return what the asking server runs, asked once in a request, in which options are made thrice."""
        if user not in self._server_images:
            self._server_images[user] = await self._ask_for_server_image(user)
        return self._server_images[user]

    async def _ask_for_server_image(self, user: Any) -> ServerImage | None:
        """Return what the asking server runs; None is no server, or a hub that does not say."""
        server = getattr(user, "server", None)
        if server is None or self.owners is None:
            return None
        try:
            owner = (await self.owners.ask({user.name}))[user.name]
        except PublicError as error:
            self.log.warning("%s Its cluster has the image by its tag.", error.message)
            return None
        return owner.servers.get(server) if owner is not None else None

    async def start_cluster(self, user: Any, cluster_options: Any) -> str:
        """Start a cluster and return its name, by what the hub describes now.

        Raises:
            PublicException: the options are not the user's to choose, or they have their most clusters.
            aiohttp.web.HTTPException: they may have no clusters (403), or the hub was never heard, or
                Kubernetes does not answer (503).
        """
        await self.source.refresh()
        # dask-gateway makes a 422 of whatever this raises later on.
        await self.get_cluster_options(user)
        try:
            return await super().start_cluster(user, cluster_options)
        except ApiException as error:
            self.log.warning("Kubernetes did not create a cluster for %s: %s", user.name, _said(error))
            if error.status in (400, 403, 413, 422):
                raise PublicException(f"Kubernetes does not accept the cluster: {_said(error)}") from None
            raise _unavailable() from None
        except (aiohttp.ClientError, OSError) as error:
            self.log.warning("Kubernetes did not create a cluster for %s: %s", user.name, words_of(error))
            raise _unavailable() from None

    async def on_cluster_heartbeat(self, cluster_name: str, msg: Any) -> None:
        """Grant workers; raises HTTPServiceUnavailable while Kubernetes does not take what was granted."""
        try:
            await super().on_cluster_heartbeat(cluster_name, msg)
        except (ApiException, aiohttp.ClientError, OSError) as error:
            self.log.warning("Kubernetes did not take what %s is granted: %s", cluster_name, words_of(error))
            raise _unavailable() from None

    def current_description(self) -> Description:
        """Return the description that the hub follows, as far as it is known here."""
        return self.source.current()

    async def kept_clusters(self, *, fresh: bool) -> list[KeptCluster]:
        """Return every cluster that starts or runs; if fresh, as Kubernetes has them now."""
        if fresh:
            found = await self.custom_client.list_cluster_custom_object(
                _GROUP, self.crd_version, _PLURAL, label_selector=self.label_selector
            )
            clusters = found["items"]
            there = {self.get_cluster_name(cluster) for cluster in clusters}
            self._granted = {name: state for name, state in self._granted.items() if name in there}
            self._spent = {name: spent for name, spent in self._spent.items() if name in there}
        else:
            clusters = [cluster for name in self.clusters if (cluster := self.informer.get(name))]
        return [self._kept(cluster) for cluster in clusters if _is_active(cluster)]

    async def ended_clusters(self, owner: str) -> list[EndedCluster]:
        """Return the owner's clusters that are over, as long as Kubernetes has their objects."""
        over = await self.list_clusters(owner, [ClusterStatus.STOPPED, ClusterStatus.FAILED])
        return [self._ended(self.informer.get(cluster.name) or {}, cluster) for cluster in over]

    def _ended(self, found: Mapping[str, Any], cluster: Cluster) -> EndedCluster:
        options = found.get("spec", {}).get("options") or {}
        return EndedCluster(
            cluster.name,
            cluster.username,
            (cluster.stop_time or 0) / 1000,
            self._why_ended(cluster) or "",
            str(options.get("worker_size", "")),
            str(options.get("image", "")),
        )

    def _why_ended(self, cluster: Cluster) -> str | None:
        """Return why a cluster is over, or None if its user ended it."""
        reason = self._annotations(cluster.name).get(REASON)
        if reason is not None or cluster.status is not ClusterStatus.FAILED:
            return reason
        last_words = self.pods.last_words(cluster.name)
        return f"Its scheduler ended: {last_words}" if last_words else "Its scheduler ended."

    async def logs_of(self, cluster_name: str) -> list[Log]:
        """Return the logs of a cluster's pods, those that ended too."""
        return await self.pods.of(cluster_name)

    async def set_grant(self, cluster: KeptCluster, granted: Grant) -> None:
        """Have Kubernetes run at most so many workers."""
        held = granted.held_by.sentence if granted.held_by is not None else None
        state = _Granted(cluster.wanted, granted.workers, held)
        if self._granted.get(cluster.name) == state:
            return
        spent = Spent(cluster.worker_seconds, time.time())
        annotations = {WANTED: str(cluster.wanted), HELD: held, SPENT: str(spent)}
        await self._patch(
            cluster.name,
            {"metadata": {"annotations": annotations}, "spec": {"replicas": granted.workers}},
        )
        self._granted[cluster.name], self._spent[cluster.name] = state, spent

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster, and keep its logs for its user."""
        await self.pods.keep(cluster_name)
        await super().stop_cluster(cluster_name, failed=failed)

    async def end_cluster(self, cluster: KeptCluster, reason: str) -> None:
        """Stop a cluster, and keep the reason and its logs for its user."""
        await self.pods.keep(cluster.name)
        await self._patch(
            cluster.name, {"metadata": {"annotations": {REASON: reason}}, "spec": {"active": False}}
        )

    async def note_alone(self, cluster: KeptCluster, alone: bool) -> None:
        """Keep that the cluster's server has gone as of now, or is back."""
        since = f"{time.time():.0f}" if alone else None
        await self._patch(cluster.name, {"metadata": {"annotations": {ALONE_SINCE: since}}})

    async def workers_of(self, clusters: Collection[KeptCluster]) -> Mapping[str, list[Worker]] | None:
        """Return each cluster's worker pods by its name, the oldest first; None without the right to."""
        namespaces = {cluster.name.partition(".")[0] for cluster in clusters}
        try:
            pods = [pod for namespace in namespaces for pod in await self._worker_pods(namespace)]
        except ApiException as error:
            if error.status != 403:
                raise
            if self._may_list_pods:
                self.log.warning(
                    "The gateway may not list pods, so workers over a limit that was lowered are not ended: "
                    "allow its service account to 'list' and 'delete' pods in %s",
                    ", ".join(sorted(namespaces)),
                )
            self._may_list_pods = False
            return None
        self._may_list_pods = True
        found: dict[str, list[Worker]] = {}
        for pod in sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"]):
            found.setdefault(cluster_of(pod), []).append(worker_of(pod))
        return found

    async def _worker_pods(self, namespace: str) -> list[dict[str, Any]]:
        selector = f"{self.label_selector},app.kubernetes.io/component=dask-worker"
        found = await self.core_client.list_namespaced_pod(namespace, label_selector=selector)
        return [
            pod
            for pod in self.api_client.sanitize_for_serialization(found)["items"]
            if pod["status"].get("phase") in ("Pending", "Running")
            and "deletionTimestamp" not in pod["metadata"]
        ]

    async def end_workers(self, cluster: KeptCluster, workers: list[str]) -> None:
        """Delete worker pods; the cluster is stopped where that is not allowed."""
        namespace, _ = cluster.name.split(".")
        for worker in workers:
            try:
                await self.core_client.delete_namespaced_pod(worker, namespace)
            except ApiException as error:
                if error.status == 403:
                    await self.end_cluster(cluster, "It had more workers than its user may have.")
                    return
                if error.status != 404:
                    raise

    def _kept(self, cluster: Mapping[str, Any]) -> KeptCluster:
        name, spec = self.get_cluster_name(cluster), cluster["spec"]
        annotations = cluster["metadata"].get("annotations") or {}
        config, options = spec.get("config") or {}, spec.get("options") or {}
        now, began = time.time(), parse_k8s_timestamp(cluster["metadata"]["creationTimestamp"]) / 1000
        replicas = int(spec.get("replicas") or 0)
        state = self._granted.get(name) or _Granted(
            _number(annotations.get(WANTED), replicas), replicas, annotations.get(HELD)
        )
        spent = self._spent.get(name) or Spent.read(annotations.get(SPENT), began)
        since = annotations.get(ALONE_SINCE)
        return KeptCluster(
            name=name,
            owner=str(spec.get("username", "")),
            server=annotations.get(SERVER_OF_CLUSTER),
            age_seconds=now - began,
            worker=self._worker(config, options),
            most=_number(config.get("cluster_max_workers"), 0),
            wanted=state.wanted,
            granted=state.granted,
            size=str(options.get("worker_size", "")),
            image=str(options.get("image", "")),
            status=str((cluster.get("status") or {}).get("phase", "Pending")).upper(),
            linger_seconds=options.get(LINGER),
            alone_seconds=None if since is None else max(now - _number(since, 0), 0),
            worker_seconds=spent.at(now, state.granted).worker_seconds,
            granted_seconds=max(now - spent.until, 0),
        )

    def _worker(self, config: Mapping[str, Any], options: Mapping[str, Any]) -> Amount:
        """Return what a worker takes: as decided when the cluster started, at the price of its size now."""
        size = None
        with suppress(PublicError):  # before the hub was heard
            size = self.current_description().sizes.get(str(options.get("worker_size")))
        gpus, price = (size.gpus or 0, size.price or 0) if size is not None else (0, 0)
        cores, memory = float(config.get("worker_cores", 1)), int(config.get("worker_memory", 0))
        return Amount(cores=cores, memory=memory, gpus=gpus, price=price, workers=1)

    async def _patch(self, cluster_name: str, change: dict[str, Any]) -> None:
        """Change a DaskCluster; one that is gone needs no change."""
        namespace, name = cluster_name.split(".")
        try:
            await self.custom_client.patch_namespaced_custom_object(
                _GROUP, self.crd_version, namespace, _PLURAL, name, change, _content_type=_MERGE
            )
        except ApiException as error:
            if error.status != 404:
                raise

    def make_cluster_object(self, username: str, options: Any, config: Any) -> dict[str, Any]:
        """Return the DaskCluster, with whose it is in labels and annotations."""
        cluster: dict[str, Any] = super().make_cluster_object(username, options, config)
        metadata = cluster["metadata"]
        metadata["labels"] = {**metadata["labels"], **user_labels(username)}
        metadata["annotations"] = {**metadata["annotations"], **user_annotations(username)}
        if (server := getattr(self.asker, "server", None)) is not None:
            metadata["annotations"][SERVER_OF_CLUSTER] = server
        return cluster

    async def get_cluster(self, cluster_name: str, wait: bool = False) -> Cluster | None:
        """Return the cluster; a client that waits for one that failed is told the reason."""
        cluster = await super().get_cluster(cluster_name, wait=wait)
        if not wait or cluster is None or cluster.status < ClusterStatus.STOPPED:
            return cluster
        reason = self._why_ended(cluster)
        if reason is None:
            return cluster
        told = copy.copy(cluster)
        told.to_dict = refuse(f"Cluster {cluster_name} failed. {reason}")
        return told

    def _description(self) -> Description:
        try:
            return self.source.current()
        except PublicError as error:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"}, reason=error.message) from None

    async def _show_description(self, _request: web.Request) -> web.Response:
        """Tell which description is in use, for `check`: a hash, an age and a state."""
        return web.json_response(self.source.status(), headers={"Cache-Control": "no-store"})

    def _annotations(self, cluster_name: str) -> Mapping[str, str]:
        cluster = self.informer.get(cluster_name) or {}
        annotations: Mapping[str, str] | None = cluster.get("metadata", {}).get("annotations")
        return annotations or {}

    async def _watch_starts(self) -> None:
        while True:
            await asyncio.sleep(self.start_check_period)
            for cluster in list(self.clusters.values()):
                if cluster.status is not ClusterStatus.PENDING:
                    continue
                try:
                    await self._check_start(cluster.name)
                except (ApiException, aiohttp.ClientError, OSError) as error:
                    self.log.warning("Cannot look at the start of cluster %s: %s", cluster.name, error)
                except Exception:
                    self.log.exception("Cannot look at the start of cluster %s", cluster.name)

    async def _check_start(self, cluster_name: str) -> None:
        """Stop a cluster that will not start, with the reason for its user."""
        namespace, name = cluster_name.split(".")
        # What is kept here may be old: whether to stop something is asked of Kubernetes.
        cluster = await self.custom_client.get_namespaced_custom_object(
            _GROUP, self.crd_version, namespace, _PLURAL, name
        )
        status = cluster.get("status") or {}
        if status.get("phase", "Pending") != "Pending" or not cluster["spec"].get("active", True):
            return
        age = time.time() - parse_k8s_timestamp(cluster["metadata"]["creationTimestamp"]) / 1000
        pod = await self._pod(namespace, status.get("schedulerPod"))
        reason = self._lost(age, status.get("schedulerPod"), pod)
        if reason is None:
            return
        self.log.warning("Cluster %s cannot start: %s", cluster_name, reason)
        await self.end_cluster(self._kept(cluster), reason)

    def _lost(self, age: float, pod_name: str | None, pod: Mapping[str, Any] | None) -> str | None:
        """Return why a cluster of this age will not start, or None while it may."""
        if not pod_name:
            if age < self.create_timeout:
                return None
            return (
                "Its scheduler could not be created: the namespace has no room left in its quota, or does "
                "not admit the pod. The log of dask-gateway's controller has the words."
            )
        why, waiting = waiting_in_vain(pod or {})
        # A registry may fail once; Kubernetes backs off when it has failed again.
        patience = self.start_timeout if why == "ErrImagePull" else self.hopeless_timeout
        if waiting and age >= patience:
            return f"Its scheduler cannot start, as {waiting}."
        if age < self.start_timeout:
            return None
        within = format_seconds(self.start_timeout)
        if words := unschedulable(pod or {}):
            return f"No node had room for its scheduler within {within}: {words}"
        return f"Its scheduler was not ready within {within}."

    async def _pod(self, namespace: str, name: str | None) -> dict[str, Any] | None:
        """Return a pod; None if there is none, or if this side may not read pods."""
        if not name:
            return None
        try:
            pod = await self.core_client.read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status != 403:
                raise
            if self._may_read_pods:
                self.log.warning(
                    "The gateway may not read pods, so users are not told why a scheduler cannot start: "
                    "allow its service account to 'get' pods in %s",
                    namespace,
                )
            self._may_read_pods = False
            return None
        self._may_read_pods = True
        found: dict[str, Any] = self.api_client.sanitize_for_serialization(pod)
        return found


@web.middleware
async def say_reason(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the sentence of a refusal into the status line too, where dask-gateway's client looks for most."""
    response = await handler(request)
    if response.status < 400 or not isinstance(response, web.Response):
        return response
    try:
        sentence = json.loads(response.text or "")["error"]
    except (ValueError, KeyError, TypeError):
        return response
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in str(sentence)[:200])
    if text:
        response.set_status(response.status, reason=text)
    return response


def _number(value: object, otherwise: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return otherwise


def _is_active(cluster: Mapping[str, Any]) -> bool:
    phase = (cluster.get("status") or {}).get("phase", "Pending")
    return bool(cluster["spec"].get("active", True)) and phase in _STARTING


def _said(error: ApiException) -> str:
    """Return what Kubernetes said, in one line."""
    try:
        words = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        words = str(error.reason or error.status)
    return " ".join(words.split())[:300]


def _unavailable() -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(
        headers={"Retry-After": "5"},
        reason="Kubernetes does not answer just now. Try again in a few seconds; running clusters go on.",
    )
