"""Logs of Dask pods: read while the pods are there, and kept of those that end: Kubernetes forgets them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
from kubernetes_asyncio.client.rest import ApiException
from kubernetes_asyncio.watch import Watch

from scalablehub.dask.logs import MOST_BYTES, MOST_WORKERS, KeptLogs, Log, end_of
from scalablehub.dask.pod_states import Ending, cluster_of, ending_of, failure, part_of
from scalablehub.errors import words_of

_WATCH_SECONDS = 300
_LATE_SECONDS = 15
_PAUSE_SECONDS = 1.0
_READ_SECONDS = 10.0
_LAST_LOOK_SECONDS = 2.0
_AT_ONCE = 8
_PARTS = "app.kubernetes.io/component in (dask-scheduler,dask-worker)"
_MOST_WAITING = 200
_TAIL_LINES = 1000
# A line may be of any length.
_MOST_READ_BYTES = 8 * 2**20


class PodLogs:
    """Follows the pods of all clusters in a namespace.

    Args:
        core_client: Kubernetes' API for pods.
        namespace: of the pods.
        selector: by labels, of this gateway's pods.
        is_known: whether a cluster is one of this gateway's.
        log: for what an admin has to know.
    """

    def __init__(
        self,
        core_client: Any,
        namespace: str,
        selector: str,
        is_known: Callable[[str], bool],
        log: logging.Logger,
    ) -> None:
        self._core = core_client
        self._namespace = namespace
        self._selector = selector
        self._is_known = is_known
        self._log = log
        self._kept = KeptLogs()
        self._last_words: dict[str, str] = {}
        self._endings: dict[str, Ending] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._told: set[str] = set()

    def last_words(self, cluster: str) -> str:
        """Return how the scheduler of a cluster failed; "" where it did not, or nothing was seen of it."""
        return self._last_words.get(cluster, "")

    async def of(self, cluster: str) -> list[Log]:
        """Return the logs of a cluster's pods: of those that run as of now, and of those that ended."""
        logs = await self._of_those_that_are_there(cluster)
        now = {(log.name, log.how) for log in logs}
        return logs + [log for log in self._kept.of(cluster) if (log.name, log.how) not in now]

    async def keep(self, cluster: str) -> None:
        """Keep the logs of a cluster that is about to be ended, as far as they can be read in a moment.

        What is written later is read when the pods begin to end, if that is in time.
        """
        with suppress(ApiException, aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_LOOK_SECONDS):
                for log in await self._of_those_that_are_there(cluster):
                    self._kept.keep(cluster, replace(log, over=True))

    async def _of_those_that_are_there(self, cluster: str) -> list[Log]:
        name = cluster.partition(".")[2]
        try:
            found = await self._core.list_namespaced_pod(
                self._namespace, label_selector=f"{self._selector},gateway.dask.org/cluster={name}"
            )
        except ApiException as error:
            if error.status != 403:
                raise
            self._tell("list", "pods")
            return []
        pods = self._core.api_client.sanitize_for_serialization(found)["items"]
        pods.sort(key=lambda pod: (part_of(pod) != "scheduler", not failure(pod)))
        logs = await asyncio.gather(*(self._read(pod) for pod in pods[: MOST_WORKERS + 1]))
        return [log for log in logs if log is not None]

    async def follow(self) -> None:
        """Watch the pods for ever, and read the log of each that ends before it is gone."""
        try:
            while True:
                await self._watch()
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            for task in self._reading:
                task.cancel()
            await asyncio.gather(*self._reading, return_exceptions=True)

    async def _watch(self) -> None:
        """Watch for a while, beginning with all that is there: what went unseen before is forgotten."""
        self._endings.clear()
        try:
            async with Watch() as watch:
                # Kubernetes ends a watch in time, if it is still there.
                times = {
                    "timeout_seconds": _WATCH_SECONDS,
                    "_request_timeout": _WATCH_SECONDS + _LATE_SECONDS,
                }
                async for event in watch.stream(self._list, **times):
                    self.hear(event["object"], is_gone=event["type"] == "DELETED")
        except ApiException as error:
            if error.status == 403:
                self._tell("watch", "pods")
        except Exception as error:  # a watch that is cut off can end with anything; the next one begins anew
            self._log.debug("Pods of clusters cannot be watched just now: %s", words_of(error))

    async def _list(self, **how: Any) -> Any:
        """Ask for the pods of all clusters; a watch of this takes each as it is and judges none."""
        return await self._core.list_namespaced_pod(
            self._namespace, label_selector=f"{self._selector},{_PARTS}", **how
        )

    def hear(self, pod: Mapping[str, Any], *, is_gone: bool = False) -> None:
        """Take in what Kubernetes says of a pod."""
        cluster, uid = cluster_of(pod), pod["metadata"]["uid"]
        if not self._is_known(cluster):
            self._endings.pop(uid, None)
            return
        words, part = failure(pod), part_of(pod)
        if words and part == "scheduler":
            self._last_words = {
                name: said for name, said in self._last_words.items() if self._is_known(name)
            } | {cluster: words}
        if is_gone:
            self._endings.pop(uid, None)
            return
        ending = ending_of(pod)
        if ending is None or self._endings.get(uid) == ending:
            return
        self._endings[uid] = ending
        wanted = part == "scheduler" or self._kept.wants(cluster, failed=bool(words))
        if wanted and len(self._reading) < _MOST_WAITING:
            task = asyncio.create_task(self._keep(cluster, pod, ending))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _keep(self, cluster: str, pod: Mapping[str, Any], ending: Ending) -> None:
        log = await self._read(pod, ending)
        if log is not None:
            self._kept.keep(cluster, log)

    async def _read(self, pod: Mapping[str, Any], ending: Ending | None = None) -> Log | None:
        """Return the log of a pod, or of the container that ended in it; None where there is none."""
        part, name = part_of(pod), pod["metadata"]["name"]
        try:
            async with self._turns, asyncio.timeout(_READ_SECONDS):
                raw = await self._raw(name, f"dask-{part}", before=ending is not None and ending.is_before)
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None
        if raw is None:
            return None
        how = failure(pod).partition("\n")[0].removesuffix(":")
        return Log(part, name, end_of(raw), over=ending is not None, how=how)

    async def _raw(self, name: str, container: str, *, before: bool) -> bytes | None:
        response = await self._core.read_namespaced_pod_log(
            name,
            self._namespace,
            container=container,
            previous=before,
            tail_lines=_TAIL_LINES,
            _preload_content=False,
        )
        try:
            if response.status == 403:
                self._tell("get", "pods/log")
            if response.status != 200:
                return None
            found, left = b"", _MOST_READ_BYTES
            async for chunk in response.content.iter_chunked(MOST_BYTES):
                found, left = (found + chunk)[-2 * MOST_BYTES :], left - len(chunk)
                if left <= 0:
                    break
            return found
        finally:
            response.close()

    def _tell(self, verb: str, resource: str) -> None:
        if resource not in self._told:
            self._told.add(resource)
            self._log.warning(
                "The gateway may not %s %s, so users are not told how a scheduler or worker ended: allow its "
                "service account to '%s' %s in %s",
                verb,
                resource,
                verb,
                resource,
                self._namespace,
            )
