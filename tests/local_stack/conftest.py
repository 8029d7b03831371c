"""One hub that most tests share, and fresh ones for the tests that kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.stack import Client, Stack, running_stack, share_sample_data

RunHub = Callable[[Path], AbstractContextManager[Stack]]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A hub as `scalablehub up` starts it; tests leave no server and no cluster behind."""
    with running_stack(tmp_path_factory.mktemp("hub")) as stack:
        yield stack


@pytest.fixture(scope="session")
def seeded(hub: Stack) -> Callable[[Path], Path]:
    """Give a new data folder the sample data of the shared hub: making it takes long."""

    def seed(data_dir: Path) -> Path:
        share_sample_data(hub.data_dir, data_dir)
        return data_dir

    return seed


@pytest.fixture(scope="session")
def run_hub(seeded: Callable[[Path], Path]) -> RunHub:
    """Run a hub of one's own until the block ends."""

    @contextmanager
    def run(data_dir: Path) -> Iterator[Stack]:
        with running_stack(seeded(data_dir)) as stack:
            yield stack

    return run


@pytest.fixture(scope="session")
def admin(hub: Stack) -> Client:
    return hub.sign_in("admin")


@pytest.fixture(scope="session")
def alice(hub: Stack) -> Iterator[Client]:
    """Alice, in the group `research`, with a server of size medium."""
    client = hub.sign_in("alice")
    client.start_server({"size": "medium"})
    yield client
    client.stop_server()


@pytest.fixture(scope="session")
def bob(hub: Stack) -> Iterator[Client]:
    """Bob, in the group `guests`, with a server of the default size."""
    client = hub.sign_in("bob")
    client.start_server({})
    yield client
    client.stop_server()
