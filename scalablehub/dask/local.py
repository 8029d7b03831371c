"""Dask clusters as processes of this machine, for a hub on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
from dask_gateway_server.backends.local import UnsafeLocalBackend
from dask_gateway_server.models import Cluster, ClusterStatus
from traitlets import Unicode

from scalablehub.dask.limiting import ClusterLimits, refuse
from scalablehub.processes import die_with_parent

_LOG_TAIL_BYTES = 4096


class ScalableLocalBackend(ClusterLimits, UnsafeLocalBackend):  # type: ignore[misc]
    """dask-gateway's local backend, made fit for a hub on one machine.

    * Schedulers and workers listen on loopback only, and end when the gateway does, however it does.
    * A process is known by its id and its start time: an id that was given away is never signalled.
    * Logs stay after a cluster ended, and why a cluster could not start reaches the user.
    * A user has a most number of clusters at a time.

    There is no isolation between users: schedulers and workers run as whoever runs the gateway.
    """

    logs_directory = Unicode(help="Folder that keeps the logs of ended clusters.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reasons: dict[str, str] = {}

    async def do_setup(self) -> None:
        """End the clusters of a gateway before this one: their processes ended with it."""
        await super().do_setup()
        for cluster in list(self.db.active_clusters()):
            self._reasons[cluster.name] = "The Dask gateway restarted; start a new cluster."
            await self.stop_cluster(cluster.name, failed=True)

    async def active_clusters(self, user: Any) -> list[str]:
        """Return the names of the user's clusters that start or run."""
        return [cluster.name for cluster in self.db.active_clusters() if cluster.username == user.name]

    async def get_cluster(self, cluster_name: str, wait: bool = False) -> Cluster | None:
        """Return the cluster; a client that waits for one that failed is told the reason."""
        cluster = await super().get_cluster(cluster_name, wait=wait)
        if wait and cluster is not None and cluster.status is ClusterStatus.FAILED:
            cluster.to_dict = refuse(f"Cluster {cluster_name} failed. {self._reason(cluster_name)}")
        return cluster

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


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something, at most 200 characters of it."""
    try:
        text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
