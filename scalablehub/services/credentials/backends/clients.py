"""A client of Amazon's protocols that gives up in time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

FAILURES = (
    ClientError,
    BotoCoreError,
    # A proxy's page in place of an answer; botocore has it in no family.
    ResponseParserError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    # An answer without what was asked for.
    KeyError,
)
"""Everything that a call ends with when the other side is away, refuses, or is something else."""


class Client:
    """One aiobotocore client, open from `start` to `close`; its keys are those of its own environment."""

    def __init__(
        self,
        service: str,
        region: str,
        endpoint: str | None = None,
        keys: tuple[str, str] | None = None,
    ) -> None:
        self._stack = AsyncExitStack()
        self._arguments: dict[str, Any] = {
            "service_name": service,
            "region_name": region,
            "endpoint_url": endpoint,
            "config": AioConfig(
                connect_timeout=1,
                read_timeout=1.5,
                retries={"total_max_attempts": 1},
                max_pool_connections=50,
            ),
        }
        if keys is not None:
            self._arguments |= {"aws_access_key_id": keys[0], "aws_secret_access_key": keys[1]}
        self.calls: Any = None

    async def start(self) -> None:
        """Open it."""
        self.calls = await self._stack.enter_async_context(get_session().create_client(**self._arguments))

    async def close(self) -> None:
        """Close its connections."""
        await self._stack.aclose()
