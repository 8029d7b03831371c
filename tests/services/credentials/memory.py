"""A backend in memory, whose keys a test can look at."""

from __future__ import annotations

import asyncio

from scalablehub.services.credentials.backends import Keys, StoreError, Wanted


class Memory:
    """A backend that counts; `fail` makes it refuse, `gate` and `end_gate` make it wait."""

    limit = 10_000

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.is_ending = asyncio.Event()
        self.ended: list[str] = []
        self.fail = False
        self.short: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.end_gate = asyncio.Event()
        self.end_gate.set()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def sweep(self, now: float) -> int:
        return 0

    async def issue(self, wanted: Wanted) -> Keys:
        self.wanted.append(wanted)
        await self.gate.wait()
        if self.fail:
            raise StoreError
        number = len(self.wanted)
        expires = (
            wanted.expires
            if self.short is None
            else int(wanted.expires - wanted.lifetime_seconds + self.short)
        )
        return Keys(f"key-{number}", "secret", "", expires, str(number))

    async def end(self, keys: Keys) -> bool:
        self.is_ending.set()
        await self.end_gate.wait()
        self.ended.append(keys.access_key)
        return True
