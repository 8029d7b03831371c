"""Servers as pods: KubeSpawner, with sizes, images and interfaces from the hub's description."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
from kubernetes_asyncio.client import ApiClient, V1PodSecurityContext, V1SecurityContext
from kubernetes_asyncio.client.rest import ApiException
from kubespawner import KubeSpawner
from kubespawner.utils import get_k8s_model
from tornado import web
from traitlets import Bool, Float

from scalablehub.decisions import Decision, Selection
from scalablehub.pods import choice_labels, node_selector, restrict, tolerations, weaknesses
from scalablehub.spawner.choosing import ChoosingSpawner
from scalablehub.spawner.faults import Asked, Fault, api_fault, end_fault, silent_fault, start_fault
from scalablehub.spawner.overriding import merged
from scalablehub.spawner.progress import in_words

_LOOK_SECONDS = 0.2


class ScalableKubeSpawner(ChoosingSpawner, KubeSpawner):  # type: ignore[misc]
    """A user's server is a pod whose size, image, interface and place were decided.

    * Memory is guaranteed and the limit; cores are guaranteed and may burst.
    * ``kubespawner_override`` of the node pool, the image and the interface come first, in that order; what
      is decided comes after them.
    * Every pod is made fit for the restricted Pod Security Standard, and refused if the admin's own
      configuration breaks it.
    * A start that fails says why in words for the user, as soon as waiting would not help.
    * The profiles of KubeSpawner are not used: the description has their place.
    """

    restricted = Bool(
        True,
        help="Whether every pod must be admissible under the restricted Pod Security Standard. Turn it off "
        "only where servers need more rights, such as a mounted file system of the node.",
    ).tag(config=True)

    no_room_patience = Float(
        0,
        min=0,
        help="Seconds that a start waits for a machine with room, where no autoscaler says that one is on "
        "its way. 0: nearly as long as start_timeout.",
    ).tag(config=True)

    _ends: ClassVar[dict[tuple[str, str], str]] = {}
    """Why servers ended that nobody stopped, by user and server; lost with the hub's process."""

    _earlier_pod: str | None = None

    # Options of KubeSpawner that are set here.
    node_selector: Any
    tolerations: Any
    extra_labels: Any
    volumes: Any
    volume_mounts: Any

    async def load_user_options(self) -> None:
        """Set what the user's options select: resources, image, landing page, place, labels and folders.

        Raises:
            tornado.web.HTTPError: the user may not have it.
        """
        selection = self.select()
        self.profile_list: list[Any] = []
        await super().load_user_options()
        pool = self.description.nodes[selection.size.node]
        self.cpu_limit = None
        self._override(pool.kubespawner_override)
        self._override(self.description.images[selection.image.name].kubespawner_override)
        self._override(self.description.interfaces[selection.interface.name].kubespawner_override)
        self.mem_guarantee = self.mem_limit = selection.size.memory
        self.cpu_guarantee = selection.size.cores
        if selection.image.image:
            self.image = selection.image.image
        self.default_url = selection.interface.url
        self.node_selector = {**self.node_selector, **node_selector(pool)}
        self.tolerations = [*self._sorted_dict_values(self.tolerations), *tolerations(pool)]
        self.extra_labels = {**self.extra_labels, **self._choice_labels(selection)}
        self.automount_service_account_token = False
        self._share_directories(self.decision())

    async def get_pod_manifest(self) -> Any:
        """Return the pod, without any right that it does not ask for.

        Raises:
            tornado.web.HTTPError: the admin's own configuration breaks the restricted standard.
        """
        pod = await super().get_pod_manifest()
        if not self.restricted:
            return pod
        async with ApiClient() as client:
            manifest = restrict(client.sanitize_for_serialization(pod))
        if found := list(weaknesses(manifest)):
            self.log.error("Pod %s breaks the restricted standard: %s", self.pod_name, "; ".join(found))
            raise _refusal(api_fault(403, "PodSecurity", self._asked()))
        _withhold(pod, manifest)
        return pod

    async def poll(self) -> int | None:
        """Return None while the server runs, else its exit code; what is not known counts as running."""
        try:
            await self._start_watching_pods()
        except Exception as error:  # whatever hides the pods, they are not gone
            self.log.warning("Pods cannot be seen (%s); %s counts as running", error, self._log_name)
            return None
        if self.selection is not None and (fault := end_fault(self._pod(), self._asked())):
            self._ends[self.user.name, self.name] = fault.sentence
        code: int | None = await super().poll()
        return code

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens while the server starts, in words."""
        last = None
        async for step in super().progress():
            if (event := step.get("raw_event")) is None:
                yield step
                continue
            words = in_words(event)
            if words is None or words == last:
                continue
            last = words
            yield {"progress": step["progress"], "raw_event": event, "message": words}

    def notes(self) -> list[str]:
        """Return why the last server ended, if nobody stopped it."""
        end = self._ends.get((self.user.name, self.name))
        return [*super().notes(), *([end] if end else [])]

    async def _start(self) -> str:
        """Start the pod; give up with a sentence as soon as waiting would not help."""
        self._ends.pop((self.user.name, self.name), None)
        self.selection = None
        self._earlier_pod = _uid(self._pod())
        starting = asyncio.ensure_future(self._start_and_answer())
        watching = asyncio.ensure_future(self._wait_for_fault())
        try:
            await asyncio.wait({starting, watching}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
            raise _refusal(watching.result())
        except ApiException as error:
            self.log.warning("The API server refused %s: %s %s", self.pod_name, error.status, error.body)
            raise _refusal(api_fault(error.status or None, _text(error.body), self._asked())) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self.log.warning("The API server does not answer for %s: %r", self.pod_name, error)
            raise _refusal(api_fault(None, None, self._asked())) from None
        finally:
            for task in (starting, watching):
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task

    async def _start_and_answer(self) -> str:
        """Return the server's address once something listens there."""
        url: str = await super()._start()
        address = urlsplit(url)
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address.hostname, address.port)
                writer.close()
                return url
            await asyncio.sleep(_LOOK_SECONDS)

    async def _wait_for_fault(self) -> Fault:
        """Return the first fault that waiting does not heal, or the last one seen when patience ends."""
        begun = time.monotonic()
        patience = self.start_timeout - min(5, self.start_timeout / 4)
        while True:
            fault = self._fault() if self.selection is not None else None
            waited = time.monotonic() - begun
            if fault is not None and (
                fault.settled
                or (fault.code == "no-room" and self.no_room_patience and waited > self.no_room_patience)
            ):
                break
            if waited > patience:
                fault = fault or silent_fault(self._asked(), waited)
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self.log.warning("%s does not start: %s", self.pod_name, fault.code)
        return fault

    def _fault(self) -> Fault | None:
        pod = self._pod()
        if pod is None or _uid(pod) == self._earlier_pod:
            return None
        return start_fault(pod, self.events, self._asked())

    def _pod(self) -> Mapping[str, Any] | None:
        """Return the server's pod as the hub sees it."""
        if self.pod_reflector is None:
            return None
        pod: Mapping[str, Any] | None = self.pod_reflector.pods.get(f"{self.namespace}/{self.pod_name}")
        return pod

    async def _start_reflector(
        self, kind: str, reflector_class: Any, replace: bool = False, **kwargs: Any
    ) -> Any:
        """Return the shared view of pods or events; one that gave up during an outage is made anew.

        KubeSpawner leaves a view dead after a minute of errors, and the hub blind until it restarts.
        """
        view = self.__class__.reflectors.get(self._get_reflector_key(kind))
        task = getattr(view, "watch_task", None)
        failed = view is not None and view.first_load_future.done() and view.first_load_future.exception()
        replace = replace or bool(failed) or (task is not None and task.done())
        return await super()._start_reflector(kind, reflector_class, replace=replace, **kwargs)

    def _asked(self) -> Asked:
        selection = self.selection or self.select()
        return Asked(
            size=selection.size.display_name,
            cores=selection.size.cores,
            memory=selection.size.memory,
            image=selection.image.display_name,
        )

    def _choice_labels(self, selection: Selection) -> dict[str, str]:
        return choice_labels(
            self.description.labels,
            size=selection.size.name,
            node_pool=selection.size.node,
            image=selection.image.name,
            interface=selection.interface.name,
        )

    def _override(self, override: Mapping[str, Any]) -> None:
        for name, value in override.items():
            setattr(self, name, merged(getattr(self, name), value))

    def _share_directories(self, decision: Decision) -> None:
        volumes = list(self._sorted_dict_values(self.volumes))
        mounts = list(self._sorted_dict_values(self.volume_mounts))
        for directory in decision.directories:
            if not directory.is_open:
                continue
            name = f"directory-{directory.name}"
            claim = {"claimName": directory.claim, "readOnly": not directory.writable}
            volumes.append({"name": name, "persistentVolumeClaim": claim})
            mount = {"name": name, "mountPath": directory.mount, "readOnly": not directory.writable}
            mounts.append(mount | ({"subPath": directory.folder} if directory.folder else {}))
        self.volumes, self.volume_mounts = volumes, mounts


def _text(body: str | bytes | None) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else body or ""


def _uid(pod: Mapping[str, Any] | None) -> str | None:
    return pod["metadata"]["uid"] if pod is not None else None


def _withhold(pod: Any, restricted: Mapping[str, Any]) -> None:
    """Give the pod the security contexts of its manifest; what an admin added may be plain dicts."""
    spec = restricted["spec"]
    pod.spec.security_context = get_k8s_model(V1PodSecurityContext, spec["securityContext"])
    for containers, manifests in (
        (pod.spec.init_containers or (), spec.get("initContainers", ())),
        (pod.spec.containers, spec["containers"]),
    ):
        for container, manifest in zip(containers, manifests, strict=True):
            if isinstance(container, dict):
                container["securityContext"] = manifest["securityContext"]
            else:
                container.security_context = get_k8s_model(V1SecurityContext, manifest["securityContext"])


def _refusal(fault: Fault) -> web.HTTPError:
    """Return the error that JupyterHub shows in the fault's words, on its page and over REST."""
    error = web.HTTPError(
        503 if fault.code in {"api-away", "no-room", "quota-reached"} else 500, fault.sentence
    )
    error.jupyterhub_message = fault.sentence  # type: ignore[attr-defined]
    return error
