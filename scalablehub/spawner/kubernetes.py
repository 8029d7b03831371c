"""Servers as pods: KubeSpawner, with sizes, images and interfaces from the hub's description."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
from kubernetes_asyncio.client.rest import ApiException
from kubespawner import KubeSpawner
from tornado import web
from traitlets import Bool, Float, Unicode, default

from scalablehub.decisions import Decision, Selection, remembered
from scalablehub.errors import PublicError, words_of
from scalablehub.pods import (
    FORWARDER,
    amount_of,
    asking_in_pod,
    asking_pod,
    choice_labels,
    node_selector,
    restrict,
    tolerations,
    user_labels,
    weaknesses,
)
from scalablehub.registry import ImageFinder, Registries, read_docker_config
from scalablehub.spawner.choosing import ChoosingSpawner, refused
from scalablehub.spawner.faults import Asked, Fault, api_fault, end_fault, silent_fault, start_fault
from scalablehub.spawner.nodes import NodeView, look_at_nodes
from scalablehub.spawner.overriding import added, is_of_things, merged
from scalablehub.spawner.pinning import image_to_run
from scalablehub.spawner.progress import in_words
from scalablehub.spawner.ready import Readiness
from scalablehub.spawner.rescue import rescuing_in_pod
from scalablehub.storage.access import Asking

_LOOK_SECONDS = 0.1
# Each look goes through all events of the namespace.
_FAULT_SECONDS = 1.0
_UNSEEN_SECONDS = 3.0
_TRY_LATER = frozenset({"api-away", "machine-late", "no-room", "quota-reached"})


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

    size_note = (
        "The memory is yours, and the most that you get; you may use more cores while nobody else needs them."
    )

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

    registry_credentials = Unicode(
        help="File with the hub's credentials for private registries, as Docker's config.json has them."
    ).tag(config=True)

    image_finder: ClassVar[ImageFinder | None] = None
    """What the hub's process asks registries with."""

    nodes: ClassVar[NodeView] = NodeView()
    """What the hub's process sees of Kubernetes' nodes."""

    _ends: ClassVar[dict[tuple[str, str], str]] = {}
    """Why servers ended that nobody stopped, by user and server; lost with the hub's process."""

    # Whether this start has asked for its pod, and the id of a pod of that name which was there before.
    _pod_is_asked_for = False
    _earlier_pod: str | None = None
    # Whether Kubernetes has made the pod of this start, and when; None once it was looked for anew.
    _is_made = False
    _made_at: float | None = None

    # Options of KubeSpawner that are set here.
    node_selector: Any
    tolerations: Any
    extra_labels: Any
    volumes: Any
    volume_mounts: Any
    cmd: Any
    extra_resource_limits: Any
    extra_resource_guarantees: Any

    @default("slow_spawn_message")
    def _default_slow_spawn_message(self) -> str:
        return "Your server takes longer than most, {seconds} seconds so far. You need not do anything."

    async def load_user_options(self) -> None:
        """Set what the user's options select: resources, image, landing page, place, labels and folders.

        Raises:
            tornado.web.HTTPError: the user may not have it.
        """
        selection = self.select()
        image = await self.find_image(selection)
        self.profile_list: list[Any] = []
        await super().load_user_options()
        pool = self.description.nodes[selection.size.node]
        self.cpu_limit = None
        self._override(pool.kubespawner_override)
        if (described := self.description.images.get(selection.image.name)) is not None:
            self._override(described.kubespawner_override)
        self._override(self.description.interfaces[selection.interface.name].kubespawner_override)
        self.mem_guarantee = self.mem_limit = selection.size.memory
        self.cpu_guarantee = selection.size.cores
        if selection.size.gpus:
            gpus = {pool.gpu_resource: str(selection.size.gpus)}
            self.extra_resource_limits = {**self.extra_resource_limits, **gpus}
            self.extra_resource_guarantees = {**self.extra_resource_guarantees, **gpus}
        if image:
            self.image = image
            self.image_of_server = (selection.image.name, image)
        self.default_url = selection.interface.url
        self.node_selector = {**self.node_selector, **node_selector(pool)}
        self.tolerations = [*self._sorted_dict_values(self.tolerations), *tolerations(pool)]
        self.extra_labels = {
            **self.extra_labels,
            **self._choice_labels(selection),
            **user_labels(self.user.name, self.name),
        }
        self.automount_service_account_token = False
        if self.cmd:  # an image's own command cannot be known here: it starts without the look at the home
            self.cmd = rescuing_in_pod(self.cmd)
        self._share_directories(self.decision_of_start())

    async def find_image(self, selection: Selection) -> str:
        """Return the container image that the selection runs; a registry is asked at most once at a time.

        Raises:
            tornado.web.HTTPError: the user named an image that is not there, or that this hub cannot run.
        """
        decision, registries = self.decision_of_start(), self.description.registries
        try:
            return await image_to_run(
                selection.image, decision.own_image, registries, self._finder(), self.log.warning
            )
        except PublicError as error:
            raise refused(error) from None

    async def readiness(self) -> Mapping[str, Readiness]:
        """Return how soon a server of each size could run, as far as the hub may see nodes."""
        try:
            finder = self._finder() if self.description.registries.pin else None
        except PublicError as error:  # a start says it; the page has to be there
            self.log.warning("%s", error.message)
            finder = None
        tolerated = self._sorted_dict_values(self.tolerations)

        async def look() -> dict[str, Readiness]:
            return await look_at_nodes(self.api, self.description, finder, tolerated)

        return await type(self).nodes.readiness(look, self.log.info)

    def _finder(self) -> ImageFinder:
        cls = type(self)
        if cls.image_finder is None:
            credentials = (
                read_docker_config(Path(self.registry_credentials)) if self.registry_credentials else {}
            )
            registries = self.description.registries
            cls.image_finder = ImageFinder(Registries(credentials, insecure=registries.insecure))
        return cls.image_finder

    async def get_pod_manifest(self) -> Any:
        """Return the pod, without any right that it does not ask for.

        Raises:
            tornado.web.HTTPError: the admin's own configuration breaks the restricted standard.
        """
        pod = await super().get_pod_manifest()
        if self.asks_for_keys:
            self._let_ask(pod)
        self._restrict(pod)
        return pod

    def asking(self) -> Asking | None:
        """Return where the server's processes ask for keys: a port of the pod's own loopback."""
        credentials = self.description.credentials
        return asking_in_pod(credentials) if credentials is not None else None

    def _let_ask(self, pod: Any) -> None:
        """Give the pod its token and the forwarder; KubeSpawner would expand what looks like a name in it."""
        credentials = self.description.credentials
        if credentials is None:
            return
        notebook = next(container for container in pod.spec.containers if container.name == "notebook")
        manifest = self.api.api_client.sanitize_for_serialization(notebook)
        user_id = (manifest.get("securityContext") or {}).get("runAsUser")
        parts = asking_pod(credentials, notebook.image, user_id)
        parts.container["imagePullPolicy"] = notebook.image_pull_policy
        pod.spec.init_containers = [parts.container, *(pod.spec.init_containers or [])]
        pod.spec.volumes = [*(pod.spec.volumes or []), parts.volume]
        notebook.volume_mounts = [*(notebook.volume_mounts or []), parts.mount]

    async def poll(self) -> int | None:
        """Return None while the server runs, else its exit code; what is not known counts as running."""
        try:
            await self._start_watching_pods()
            if fault := end_fault(self._pod(), self._asked()):
                self._ends[self.user.name, self.name] = fault.sentence
            code: int | None = await super().poll()
        except Exception as error:  # whatever hides the pods, they are not gone
            self.log.warning(
                "Pods cannot be seen (%s); %s counts as running", words_of(error), self._log_name
            )
            return None
        return code

    async def stop(self, now: bool = False) -> None:
        """Stop the server; that its pod goes is not a fault of a start."""
        self._pod_is_asked_for = False
        await super().stop(now)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens while the server starts, in words."""
        last = None
        async with contextlib.aclosing(super().progress()) as steps:
            async for step in steps:
                if (event := step.get("raw_event")) is None:
                    yield step
                    continue
                words = None if self._is_about_earlier_pod(event) else in_words(event)
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
        self._pod_is_asked_for, self._earlier_pod = False, None
        self._made_at, self._is_made = None, False
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
            self.log.warning("The API server does not answer for %s: %s", self.pod_name, words_of(error))
            raise _refusal(api_fault(None, None, self._asked())) from None
        finally:
            starting.cancel()
            watching.cancel()
            await asyncio.gather(starting, watching, return_exceptions=True)

    async def _start_and_answer(self) -> str:
        """Return the server's address once something listens there."""
        url: str = await super()._start()
        address = urlsplit(url)
        port = address.port or {"https": 443}.get(address.scheme, 80)
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address.hostname, port)
                writer.close()
                return url
            await asyncio.sleep(_LOOK_SECONDS)

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> bool:
        """Ask for the pod, and remember the one of its name that may have to go first.

        An admin's ``modify_pod_hook`` comes before this, and gives no rights either.
        """
        self._restrict(pod)
        self._hold_as_made(pod)
        self._earlier_pod = _uid(self._pod())
        self._pod_is_asked_for = True
        created: bool = await super()._make_create_pod_request(pod, request_timeout)
        if created:
            self._made_at, self._is_made = time.monotonic(), True
        return created

    def is_pod_running(self, pod: Mapping[str, Any] | None) -> bool:
        """Return whether a pod serves its user; one that was there before the start does not."""
        return not self._is_earlier(pod) and bool(super().is_pod_running(pod))

    async def _wait_for_fault(self) -> Fault:
        """Return the first fault that waiting does not heal, or the last one seen when patience ends."""
        begun = time.monotonic()
        patience = self.start_timeout - min(5, self.start_timeout / 4)
        while True:
            if self._is_unseen():
                await self._look_anew()
            fault = self._fault()
            waited = time.monotonic() - begun
            if fault is not None and (
                fault.settled
                or (fault.code == "no-room" and self.no_room_patience and waited > self.no_room_patience)
            ):
                break
            if waited > patience:
                if fault is None:
                    # Without a pod it is Kubernetes that did not answer, not the server.
                    fault = (
                        silent_fault(self._asked(), waited)
                        if self._is_made
                        else api_fault(None, None, self._asked())
                    )
                break
            await asyncio.sleep(_FAULT_SECONDS)
        self.log.warning("%s does not start: %s", self.pod_name, fault.code)
        return fault

    def _is_unseen(self) -> bool:
        """Return whether the pod was made a while ago, and the hub's view still does not have it."""
        if self._made_at is None or time.monotonic() < self._made_at + _UNSEEN_SECONDS:
            return False
        pod = self._pod()
        return pod is None or self._is_earlier(pod)

    async def _look_anew(self) -> None:
        """Make the views anew: after an outage one may wait for half a minute before it looks again."""
        self._made_at = None
        self.log.warning("%s is not seen; looking anew", self.pod_name)
        try:
            await self._start_watching_pods(replace=True)
            if self.events_enabled:
                await self._start_watching_events(replace=True)
        except Exception as error:
            self.log.warning("Pods cannot be seen (%s)", error)

    def _fault(self) -> Fault | None:
        """Return what keeps the pod of this start; a state that cannot be read is no fault."""
        pod = self._pod()
        if not self._pod_is_asked_for or pod is None or self._is_earlier(pod):
            return None
        try:
            return start_fault(pod, self.events, self._asked())
        except Exception:
            self.log.exception("The state of %s cannot be read", self.pod_name)
            return None

    def _is_earlier(self, pod: Mapping[str, Any] | None) -> bool:
        return self._earlier_pod is not None and _uid(pod) == self._earlier_pod

    def _is_about_earlier_pod(self, event: Mapping[str, Any]) -> bool:
        uid = event.get("involvedObject", {}).get("uid")
        return self._earlier_pod is not None and uid == self._earlier_pod

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
        replace = replace or (view is not None and _is_blind(view))
        # A start that is given up while a view loads must not leave it half loaded: all would wait for it.
        return await asyncio.shield(
            super()._start_reflector(kind, reflector_class, replace=replace, **kwargs)
        )

    def _asked(self) -> Asked:
        """Return what was selected; after the hub's own restart, what the user's options stand for now."""
        selection = self.selection or remembered(self.decision(), self.user_options)[0]
        if selection is None:
            return Asked(
                size="?", cores=self.cpu_guarantee or 0, memory=self.mem_limit or 0, image=self.image
            )
        return Asked(
            size=selection.size.display_name,
            cores=selection.size.cores,
            memory=selection.size.memory,
            image=selection.image.display_name,
        )

    def _restrict(self, pod: Any) -> None:
        if not self.restricted:
            return
        manifest = restrict(self.api.api_client.sanitize_for_serialization(pod))
        if found := list(weaknesses(manifest)):
            self.log.error("Pod %s breaks the restricted standard: %s", self.pod_name, "; ".join(found))
            raise _refusal(api_fault(403, "PodSecurity", self._asked()))
        _withhold(pod, manifest["spec"])

    def _hold_as_made(self, pod: Any) -> None:
        """Hold a pod to the caps as it really is, after everything that an admin's hooks did to it."""
        manifest = self.api.api_client.sanitize_for_serialization(pod)
        resources = {pool.gpu_resource for pool in self.description.nodes.values()}
        price = self.selection.size.price if self.selection is not None else None
        try:
            self.hold(replace(amount_of(manifest, resources, {FORWARDER}), price=price or 0))
        except PublicError as error:
            raise refused(error) from None

    def _choice_labels(self, selection: Selection) -> dict[str, str]:
        return choice_labels(
            self.description.labels,
            size=selection.size.name,
            node_pool=selection.size.node,
            image=selection.image.label,
            interface=selection.interface.name,
        )

    def _override(self, override: Mapping[str, Any]) -> None:
        for name, value in override.items():
            over = added if is_of_things(self.traits()[name]) else merged
            setattr(self, name, over(getattr(self, name), value))

    def _share_directories(self, decision: Decision) -> None:
        """Mount what is shared with the user; a claim has one volume of the pod, the home's where it is that.

        A node mounts a claim once for a pod, and waits for ever where two of its volumes have the same one.
        """
        shared = [directory for directory in decision.directories if directory.is_open]
        volumes = list(self._sorted_dict_values(self.volumes))
        names = {
            self._expand_user_properties(claim["claimName"]): volume["name"]
            for volume in volumes
            if isinstance(volume, Mapping)
            and (claim := volume.get("persistentVolumeClaim"))
            and not claim.get("readOnly")
        }
        mounts = list(self._sorted_dict_values(self.volume_mounts))
        for directory in shared:
            if directory.claim is None:
                continue  # refused when the hub starts
            if directory.claim not in names:
                names[directory.claim] = f"directory-{directory.name}"
                writable = any(other.writable for other in shared if other.claim == directory.claim)
                claim = {"claimName": directory.claim, "readOnly": not writable}
                volumes.append({"name": names[directory.claim], "persistentVolumeClaim": claim})
            mount = {
                "name": names[directory.claim],
                "mountPath": directory.mount,
                "readOnly": not directory.writable,
            }
            mounts.append(mount | ({"subPath": directory.folder} if directory.folder else {}))
        self.volumes, self.volume_mounts = volumes, mounts


def _text(body: str | bytes | None) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else body or ""


def _uid(pod: Mapping[str, Any] | None) -> str | None:
    return pod["metadata"]["uid"] if pod is not None else None


def _is_blind(view: Any) -> bool:
    """Return whether a view of pods or events has given up, or never came to see anything."""
    first = view.first_load_future
    failed = first.done() and (first.cancelled() or first.exception() is not None)
    return failed or (view.watch_task is not None and view.watch_task.done())


def _withhold(pod: Any, spec: Mapping[str, Any]) -> None:
    """Give the pod the security contexts of its manifest.

    They are plain dicts, as KubeSpawner's own are, so that Kubernetes' newest fields pass; so may be the
    containers that an admin added.
    """
    pod.spec.security_context = spec["securityContext"]
    for containers, manifests in (
        (pod.spec.init_containers or (), spec.get("initContainers") or ()),
        (pod.spec.containers, spec["containers"]),
    ):
        for container, manifest in zip(containers, manifests, strict=True):
            if isinstance(container, dict):
                container["securityContext"] = manifest["securityContext"]
            else:
                container.security_context = manifest["securityContext"]


def _refusal(fault: Fault) -> web.HTTPError:
    """Return the error that JupyterHub shows in the fault's words, on its page and over REST."""
    error = web.HTTPError(503 if fault.code in _TRY_LATER else 500, fault.sentence)
    error.jupyterhub_message = fault.sentence  # type: ignore[attr-defined]
    return error
