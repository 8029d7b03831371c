"""Questions to Kubernetes that end: its client waits for ever for an answer that got lost on its way."""

from __future__ import annotations

from typing import Any

ANSWER_SECONDS = 30.0


def give_up_on_silence(api: Any, seconds: float = ANSWER_SECONDS) -> None:
    """Have a client's questions end with TimeoutError after some time, unless they have one of their own.

    After a failover of the API server, or of what is in front of it, nobody may be left at the other end of a
    connection, and nothing says so.

    Args:
        api: an ApiClient, by which dask-gateway's own parts ask too.
        seconds: from the question to the end of the answer.
    """
    request = api.rest_client.request

    async def ask(*what: Any, **how: Any) -> Any:
        return await request(*what, **{**how, "_request_timeout": how.get("_request_timeout") or seconds})

    api.rest_client.request = ask
