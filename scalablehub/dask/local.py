"""Dask clusters as processes of this machine, for a hub on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from dask_gateway_server.backends.db_base import JobStatus
from dask_gateway_server.backends.local import UnsafeLocalBackend
from dask_gateway_server.models import Cluster, ClusterStatus
from traitlets import Unicode

from scalablehub.dask.following import EndedCluster, KeptCluster
from scalablehub.dask.keeping import KeepingClusters, refuse
from scalablehub.dask.logs import MOST_BYTES, MOST_WORKERS, Log, end_of
from scalablehub.dask.options import LINGER
from scalablehub.dask.spending import Spent
from scalablehub.dask.workers import Worker
from scalablehub.decisions import Amount, Grant
from scalablehub.processes import die_with_parent
from scalablehub.services.credentials.tokens import issue_token
from scalablehub.storage.access import asking_environment, asking_here

_LOG_TAIL_BYTES = 4096
_TOKEN = "credentials-token"  # noqa: S105


class ScalableLocalBackend(KeepingClusters, UnsafeLocalBackend):  # type: ignore[misc]
    """dask-gateway's local backend, made fit for a hub on one machine.

    * Schedulers and workers listen on loopback only, and end when the gateway does, however it does.
    * A process is known by its id and its start time: an id that was given away is never signalled.
    * Logs stay after a cluster ended, and why a cluster could not start reaches the user.
    * What it keeps of clusters beside their processes is lost with it, as they are.

    There is no isolation between users: schedulers and workers run as whoever runs the gateway.
    """

    logs_directory = Unicode(help="Folder that keeps the logs of ended clusters.").tag(config=True)

    credentials_url = Unicode(
        help="Address of the credential service, where clusters ask for keys; empty without one."
    ).tag(config=True)

    credentials_token = Unicode(
        help="The hub token of the service 'credentials', with which clusters' tokens are signed."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reasons: dict[str, str] = {}
        self._servers: dict[str, str | None] = {}
        self._wanted: dict[str, int] = {}
        self._alone_since: dict[str, float] = {}
        self._spent: dict[str, Spent] = {}

    async def setup(self, app: web.Application) -> None:
        """Set up what is there, and begin to look after clusters."""
        await super().setup(app)
        await self.begin_keeping(app)

    async def cleanup(self) -> None:
        """Look after clusters no more, and clean up."""
        await self.end_keeping()
        await super().cleanup()

    async def do_setup(self) -> None:
        """End the clusters of a gateway before this one: their processes ended with it."""
        await super().do_setup()
        for cluster in list(self.db.active_clusters()):
            self._reasons[cluster.name] = "The Dask gateway restarted; start a new cluster."
            await self.stop_cluster(cluster.name, failed=True)

    async def start_cluster(self, user: Any, cluster_options: Any) -> str:
        """Start a cluster and return its name.

        Raises:
            PublicException: the options are not the user's to choose, or they have their most clusters.
        """
        name: str = await super().start_cluster(user, cluster_options)
        self._servers[name] = getattr(user, "server", None)
        return name

    async def on_cluster_heartbeat(self, cluster_name: str, msg: Any) -> None:
        """Grant as many workers as the scheduler wants and its user may have."""
        if isinstance(msg, dict) and type(msg.get("count")) is int:
            self._wanted[cluster_name] = msg["count"]
        await super().on_cluster_heartbeat(cluster_name, msg)

    async def kept_clusters(self, *, fresh: bool) -> list[KeptCluster]:
        """Return every cluster that starts or runs."""
        active = list(self.db.active_clusters())
        names = {cluster.name for cluster in active}
        for kept in (self._servers, self._wanted, self._alone_since, self._spent):
            for gone in [name for name in kept if name not in names]:
                del kept[gone]
        return [self._kept(cluster) for cluster in active]

    async def ended_clusters(self, owner: str) -> list[EndedCluster]:
        """Return the owner's clusters that are over, as long as the database has them."""
        over = self.db.list_clusters(owner, [ClusterStatus.STOPPED, ClusterStatus.FAILED])
        return [
            EndedCluster(
                cluster.name,
                cluster.username,
                (cluster.stop_time or 0) / 1000,
                self._reason(cluster.name) if cluster.model_status is ClusterStatus.FAILED else "",
                cluster.options["worker_size"],
                cluster.options["image"],
            )
            for cluster in over
        ]

    async def logs_of(self, cluster_name: str) -> list[Log]:
        """Return the logs of a cluster's processes; after its end from the folder that keeps them."""
        found = self.db.get_cluster(cluster_name)
        workdir = found.state.get("workdir") if found is not None else None
        folders = [Path(self.logs_directory) / cluster_name] if self.logs_directory else []
        if workdir is not None:
            folders.insert(0, Path(self.get_logs_directory(workdir)))
        running = {worker.name for worker in found.active_workers()} if found is not None else set()
        if found is not None and found.is_active():
            running.add("scheduler")
        return await asyncio.to_thread(_read_logs, folders, running)

    async def set_grant(self, cluster: KeptCluster, granted: Grant) -> None:
        """Have a cluster run at most so many workers; its next heartbeat starts those that are missing."""
        found = self.db.get_cluster(cluster.name)
        if found is None or found.count == granted.workers or found.target > JobStatus.RUNNING:
            return
        self._spent[cluster.name] = self._spent_of(found)
        self.db.update_cluster(found, count=granted.workers)
        self.queue.put(found)

    async def end_cluster(self, cluster: KeptCluster, reason: str) -> None:
        """Stop a cluster, and keep the reason for its user."""
        self._reasons[cluster.name] = reason
        await self.stop_cluster(cluster.name, failed=True)

    async def note_alone(self, cluster: KeptCluster, alone: bool) -> None:
        """Keep that the cluster's server has gone as of now, or is back."""
        if alone:
            self._alone_since[cluster.name] = time.monotonic()
        else:
            self._alone_since.pop(cluster.name, None)

    async def workers_of(self, clusters: Collection[KeptCluster]) -> Mapping[str, list[Worker]] | None:
        """Return each cluster's workers by its name, the oldest first."""
        return {cluster.name: self._workers(cluster.name) for cluster in clusters}

    def _workers(self, cluster_name: str) -> list[Worker]:
        found = self.db.get_cluster(cluster_name)
        workers = found.active_workers() if found is not None else []
        return [
            Worker(worker.name, runs=worker.status == JobStatus.RUNNING)
            for worker in sorted(workers, key=lambda worker: worker.start_time or time.time() * 1000)
        ]

    async def end_workers(self, cluster: KeptCluster, workers: list[str]) -> None:
        """End workers, whatever their scheduler says."""
        found = self.db.get_cluster(cluster.name)
        ending = [worker for worker in found.active_workers() if worker.name in workers] if found else []
        self.db.update_workers([(worker, {"target": JobStatus.STOPPED}) for worker in ending])
        for worker in ending:
            self.queue.put(worker)

    def _spent_of(self, cluster: Any) -> Spent:
        began = Spent(0, (cluster.start_time or 0) / 1000)
        return self._spent.get(cluster.name, began).at(time.time(), cluster.count)

    def _kept(self, cluster: Any) -> KeptCluster:
        size = self.current_description().sizes[cluster.options["worker_size"]]
        alone = self._alone_since.get(cluster.name)
        return KeptCluster(
            name=cluster.name,
            owner=cluster.username,
            server=self._servers.get(cluster.name),
            age_seconds=time.time() - (cluster.start_time or 0) / 1000,
            worker=Amount(
                cores=size.cores or 0,
                memory=size.memory or 0,
                gpus=size.gpus or 0,
                price=size.price or 0,
                workers=1,
            ),
            most=cluster.config["cluster_max_workers"],
            wanted=self._wanted.get(cluster.name, cluster.count),
            granted=cluster.count,
            size=cluster.options["worker_size"],
            image=cluster.options["image"],
            status=cluster.model_status.name,
            linger_seconds=cluster.options.get(LINGER),
            alone_seconds=None if alone is None else time.monotonic() - alone,
            worker_seconds=self._spent_of(cluster).worker_seconds,
        )

    async def get_cluster(self, cluster_name: str, wait: bool = False) -> Cluster | None:
        """Return the cluster; a client that waits for one that failed is told the reason."""
        cluster = await super().get_cluster(cluster_name, wait=wait)
        if wait and cluster is not None and cluster.status is ClusterStatus.FAILED:
            cluster.to_dict = refuse(f"Cluster {cluster_name} failed. {self._reason(cluster_name)}")
        return cluster

    def setup_working_directory(self, cluster: Any) -> str:
        """Make a cluster's folder, with the token with which its processes ask for keys."""
        workdir: str = super().setup_working_directory(cluster)
        if self.credentials_url:
            server = self._servers.get(cluster.name)
            file = Path(workdir) / _TOKEN
            issue_token(file, self.credentials_token, cluster.username, server, cluster=cluster.name)
        return workdir

    def get_env(self, cluster: Any) -> dict[str, str]:
        """Return the variables of a cluster's processes, with where they ask for keys."""
        environment: dict[str, str] = super().get_env(cluster)
        decision = self.decision_of(cluster.username)
        if self.credentials_url and decision is not None:
            asking = asking_here(self.credentials_url, Path(cluster.state["workdir"]) / _TOKEN)
            environment |= asking_environment(self.current_description().credentials, decision, asking)
        return environment

    async def do_start_cluster(self, cluster: Any) -> AsyncIterator[dict[str, Any]]:
        """Start the scheduler; keep the reason if it cannot be started."""
        try:
            async for state in super().do_start_cluster(cluster):
                yield _with_start_time(state)
        except OSError as error:
            self._reasons[cluster.name] = f"Its scheduler could not be started: {error.strerror or error}."
            raise

    async def do_start_worker(self, worker: Any) -> AsyncIterator[dict[str, Any]]:
        """Start a worker."""
        async for state in super().do_start_worker(worker):
            yield _with_start_time(state)

    async def do_stop_cluster(self, cluster: Any) -> None:
        """End the scheduler, and find out why if nobody asked for it."""
        await self._stop_state(cluster.state)
        workdir = cluster.state.get("workdir")
        if workdir is not None:
            if cluster.name not in self._reasons and (line := _last_line(self._scheduler_log(workdir))):
                self._reasons[cluster.name] = f"Its scheduler ended with: {line}"
            await asyncio.to_thread(self._keep_logs, cluster.name, Path(workdir))

    async def do_stop_worker(self, worker: Any) -> None:
        """End a worker."""
        await self._stop_state(worker.state)

    def _check_status(self, o: Any) -> bool:
        return _process(o.state) is not None

    def make_preexec_fn(self, cluster: Any) -> Callable[[], None]:
        """Return what a new process does first: promise to end with the gateway, and go to its folder."""
        change_folder = super().make_preexec_fn(cluster)

        def preexec() -> None:
            die_with_parent()
            change_folder()

        return preexec

    def get_worker_command(
        self, cluster: Any, worker_name: str, scheduler_address: str | None = None
    ) -> list[str]:
        """Return the command of a worker that only this machine reaches, and whose files go with the cluster.

        Left to itself a worker listens on every interface and spills to a folder that outlives it.
        """
        command = super().get_worker_command(cluster, worker_name, scheduler_address)
        return [*command, "--host", self.default_host, "--local-directory", cluster.state["workdir"]]

    def cleanup_working_directory(self, workdir: str) -> None:
        """Remove a cluster's folder, with its keys."""
        shutil.rmtree(workdir, ignore_errors=True)

    async def _stop_state(self, state: dict[str, Any]) -> None:
        process = _process(state)
        if process is None:
            return
        children = process.children(recursive=True)
        await self.stop_process(process.pid)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _keep_logs(self, name: str, workdir: Path) -> None:
        logs = Path(self.get_logs_directory(workdir))
        if self.logs_directory and logs.is_dir():
            kept = Path(self.logs_directory) / name
            shutil.rmtree(kept, ignore_errors=True)
            with contextlib.suppress(OSError):
                shutil.move(logs, kept)
        self.cleanup_working_directory(str(workdir))

    def _scheduler_log(self, workdir: str) -> Path:
        return Path(self.get_logs_directory(workdir)) / "scheduler.log"

    def _reason(self, name: str) -> str:
        reason = self._reasons.get(name, "No reason is known.")
        kept = Path(self.logs_directory) / name
        return f"{reason} Its logs: {kept}" if self.logs_directory and kept.is_dir() else reason


def _with_start_time(state: dict[str, Any]) -> dict[str, Any]:
    """Add the start time of a process to its id: together they name it for good."""
    if "pid" in state:
        with contextlib.suppress(psutil.NoSuchProcess):
            return state | {"started": psutil.Process(state["pid"]).create_time()}
    return state


def _process(state: dict[str, Any]) -> psutil.Process | None:
    """Return the living process that a state names, or None."""
    if state.get("pid") is None:
        return None
    try:
        process = psutil.Process(state["pid"])
        alive = process.create_time() == state.get("started") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _read_logs(folders: Iterable[Path], running: Collection[str]) -> list[Log]:
    """Return the logs in the first folder that has some: the scheduler's, then the latest workers'."""
    for folder in folders:
        # A cluster that ends in this moment has them moved to the next.
        with contextlib.suppress(OSError):
            files = sorted(
                folder.glob("*.log"), key=lambda file: (file.stem != "scheduler", -file.stat().st_mtime)
            )
            if files:
                return [_read_log(file, running) for file in files[: MOST_WORKERS + 1]]
    return []


def _read_log(file: Path, running: Collection[str]) -> Log:
    part = "scheduler" if file.stem == "scheduler" else "worker"
    return Log(part, file.stem, end_of(_end(file, 2 * MOST_BYTES)), over=file.stem not in running)


def _end(file: Path, most_bytes: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(file.stat().st_size - most_bytes, 0))
        return opened.read(most_bytes)


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something, at most 200 characters of it."""
    try:
        text = _end(log, _LOG_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
