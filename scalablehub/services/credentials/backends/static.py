"""One key for everybody: for development, where the store knows no other. It isolates nobody."""

from __future__ import annotations

from scalablehub.services.credentials.backends.interface import Keys, Wanted


class Static:
    """Hands out the store's only key, with an end that the key itself does not have."""

    limit = 1_000_000

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key

    async def start(self) -> None:
        """Need nothing."""

    async def issue(self, wanted: Wanted) -> Keys:
        """Return the key."""
        return Keys(self._access_key, self._secret_key, "", wanted.expires)

    async def end(self, keys: Keys) -> bool:
        """Say that it cannot be ended."""
        return False

    async def sweep(self, now: float) -> int:
        """Find nothing to end."""
        return 0

    async def close(self) -> None:
        """Hold nothing."""
