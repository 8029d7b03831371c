"""A real OpenID Connect provider before a real JupyterHub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sign_in.provider import HubWithProvider, Visitor
from tests.stack import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

TABLE = {"lab:gpu": "gpu", "research-*": "{}"}
KEPT_SECONDS = 6


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithProvider]:
    hub = HubWithProvider(tmp_path_factory.mktemp("hub"), table=TABLE, keep_for=KEPT_SECONDS)
    try:
        hub.provider.start()
        hub.start()
        yield hub
    finally:
        hub.kill()
        hub.provider.kill()


def person(*groups: Any, **said: Any) -> dict[str, Any]:
    return {"groups": list(groups)} | said


def stop(hub: HubWithProvider, name: str) -> None:
    hub.call("DELETE", f"users/{name}/server")
    until(lambda: not hub.call("GET", f"users/{name}")[1]["servers"], "the server ends", 60)


def test_who_signs_in_has_the_providers_groups_through_the_table(hub: HubWithProvider) -> None:
    hub.provider.has({"alice": person("lab:gpu", "research-ocean", "LAB:GPU", "other")})
    status, page = Visitor(hub).sign_in("alice")
    assert (status, "alice" in page) == (200, True)
    assert hub.groups_of("alice") == ["gpu", "ocean"]


@pytest.mark.parametrize(
    ("said", "groups"),
    [
        ({"groups": "lab:gpu"}, ["gpu"]),  # a text is one group
        ({"groups": [{"name": "lab:gpu"}]}, ["gpu"]),
        ({"groups": []}, []),
        ({}, []),
        ({"groups": None}, []),
        ({"groups": {"deep": [1]}}, []),
    ],
    ids=str,
)
def test_whatever_the_provider_says_of_groups_nobody_gets_more(
    hub: HubWithProvider, said: dict[str, Any], groups: list[str]
) -> None:
    hub.provider.has({"bob": said})
    assert Visitor(hub).sign_in("bob")[0] == 200
    assert hub.groups_of("bob") == groups


def test_groups_are_asked_for_anew_before_a_server_starts(hub: HubWithProvider) -> None:
    hub.provider.has({"carol": person("lab:gpu")})
    carol = Visitor(hub)
    carol.sign_in("carol")
    assert hub.groups_of("carol") == ["gpu"]
    hub.provider.has({"carol": person("research-ice")})
    assert carol.start()[0] == 200
    assert hub.groups_of("carol") == ["ice"]
    stop(hub, "carol")


def test_a_provider_that_is_away_takes_nothing_for_a_while_and_then_says_so(hub: HubWithProvider) -> None:
    hub.provider.has({"dave": person("lab:gpu")})
    dave = Visitor(hub)
    dave.sign_in("dave")
    hub.provider.kill()
    try:
        status, _ = dave.start()
        assert status == 200
        assert hub.groups_of("dave") == ["gpu"]
        stop(hub, "dave")
        assert "dave keeps their groups" in hub.log

        def refused() -> bool:
            status, page = dave.start()
            if status == 200:
                stop(hub, "dave")
            return status == 503 and "the identity provider does not answer" in page

        until(refused, "what was said is too old", 60)
        assert hub.groups_of("dave") == ["gpu"]
    finally:
        hub.provider.start()


def test_pages_and_servers_that_run_stay_within_reach_without_the_provider(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    hub = HubWithProvider(tmp_path_factory.mktemp("hub"), table=TABLE, when_away="refuse")
    try:
        hub.provider.start()
        with (hub.folder / "jupyterhub_config.py").open("a") as config:
            config.write("c.Authenticator.auth_refresh_age = 1\n")
        hub.start()
        hub.provider.has({"dave": person("lab:gpu")})
        dave = Visitor(hub)
        dave.sign_in("dave")
        assert dave.start()[0] == 200
        until(lambda: hub.call("GET", "users/dave")[1]["servers"][""]["ready"], "the server runs", 60)
        hub.provider.kill()

        def was_asked() -> bool:
            status, page, _ = dave.open(f"{hub.url}hub/home")
            assert (status, "dave" in page) == (200, True)
            return "does not answer about dave" in hub.log

        until(was_asked, "the hub asks about a visitor", 60)
        assert dave.open(f"{hub.url}user/dave/lab")[0] == 200  # by way of the hub's own sign-in
        assert dave.open(f"{hub.url}user/dave/api/status")[0] == 200
        assert hub.call("DELETE", "users/dave/server")[0] in (202, 204)
        until(lambda: not hub.call("GET", "users/dave")[1]["servers"], "the server ends", 60)
        status, page = dave.start()
        assert (status, "the identity provider does not answer" in page) == (503, True)
        assert hub.call("POST", "users/dave/server", {})[0] == 503
    finally:
        hub.kill()
        hub.provider.kill()


def test_a_code_that_the_provider_did_not_give_signs_nobody_in(hub: HubWithProvider) -> None:
    status, page = Visitor(hub).come_back_with("nonsense")
    assert (status, "The identity provider did not accept the sign-in" in page) == (403, True)


def test_a_provider_that_goes_away_during_a_sign_in_is_told(hub: HubWithProvider) -> None:
    try:
        status, page = Visitor(hub).come_back_with("nonsense", meanwhile=hub.provider.kill)
        assert (status, "The identity provider does not answer. Try again later." in page) == (503, True)
    finally:
        hub.provider.start()


def test_who_has_another_name_at_the_provider_does_not_bring_its_groups_to_the_old_one(
    hub: HubWithProvider,
) -> None:
    hub.provider.has({"fay": person("research-ice")})
    fay = Visitor(hub)
    fay.sign_in("fay")
    hub.provider.has({"fay": person("lab:gpu", preferred_username="gus")})
    assert fay.start()[0] == 403
    assert hub.groups_of("fay") == ["ice"]
    assert fay.sign_in("fay")[0] == 200
    assert hub.groups_of("gus") == ["gpu"]


def test_who_was_signed_out_by_the_provider_signs_in_again(hub: HubWithProvider) -> None:
    hub.provider.has({"erin": person("lab:gpu")})
    erin = Visitor(hub)
    erin.sign_in("erin")
    # What the provider knew of tokens is gone with it.
    hub.provider.kill()
    hub.provider.start()
    status, page = erin.start()
    assert (status, hub.call("GET", "users/erin")[1]["servers"]) == (403, {})
    assert "Log out and sign in again, then start your server." in page
    assert hub.call("POST", "users/erin/server", {})[0] in (400, 403)  # over REST neither
    hub.provider.has({"erin": person()})
    assert erin.sign_in("erin")[0] == 200
    assert hub.groups_of("erin") == []


@pytest.mark.parametrize(
    "name",
    ["al\N{ZERO WIDTH SPACE}ice", "\N{FULLWIDTH LATIN SMALL LETTER A}lice", "alice.", ".alice", "al ice"],
    ids=ascii,
)
def test_a_name_that_looks_like_anothers_is_refused(hub: HubWithProvider, name: str) -> None:
    hub.provider.has({"mallory": person("lab:gpu", preferred_username=name)})
    status, page = Visitor(hub).sign_in("mallory")
    assert status == 403
    assert "has signs that this hub does not take" in page


def test_a_name_in_another_case_is_the_same_user(hub: HubWithProvider) -> None:
    hub.provider.has({"ALICE": person("research-x", preferred_username="ALICE")})
    assert Visitor(hub).sign_in("ALICE")[0] == 200
    assert hub.groups_of("alice") == ["x"]
    assert hub.groups_of("ALICE") is None or hub.groups_of("ALICE") == ["x"]


def test_no_token_and_no_secret_is_in_the_log(hub: HubWithProvider) -> None:
    assert "hubs-secret" not in hub.log
    assert "Bearer " not in hub.log
    assert "refresh_token=" not in hub.log


@pytest.fixture(scope="module")
def by_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubWithProvider]:
    """A hub whose users are known by their e-mail addresses."""
    hub = HubWithProvider(tmp_path_factory.mktemp("hub"), username="email", table=TABLE)
    try:
        hub.provider.start()
        hub.start()
        yield hub
    finally:
        hub.kill()
        hub.provider.kill()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"email_verified": True}, 200),
        ({"email_verified": "true"}, 200),
        ({"email_verified": False}, 403),
        ({"email_verified": "false"}, 403),
        ({"email_verified": 1}, 403),
        ({"email_verified": 0}, 403),
        ({"email_verified": None}, 403),
        ({"email_verified": []}, 403),
        ({}, 403),
    ],
    ids=str,
)
def test_an_address_counts_only_if_the_provider_calls_it_verified(
    by_address: HubWithProvider, said: dict[str, Any], status: int
) -> None:
    by_address.provider.has({"u": person("lab:gpu", email="alice@ex.org", **said)})
    found, page = Visitor(by_address).sign_in("u")
    assert found == status
    assert ("Your e-mail address is not verified" in page) == (status == 403)


def test_groups_of_an_id_token_are_asked_for_anew_with_the_refresh_token(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    hub = HubWithProvider(tmp_path_factory.mktemp("hub"), told=True, table=TABLE)
    try:
        hub.provider.start()
        hub.start()
        hub.provider.has({"alice": person("lab:gpu")})
        alice = Visitor(hub)
        assert alice.sign_in("alice")[0] == 200
        assert hub.groups_of("alice") == ["gpu"]
        hub.provider.has({"alice": person("research-ice")})
        assert alice.start()[0] == 200
        assert hub.groups_of("alice") == ["ice"]
        stop(hub, "alice")
        # Neither is the ID token of the sign-in enough once the provider has forgotten the refresh token.
        hub.provider.kill()
        hub.provider.start()
        status, page = alice.start()
        assert (status, "Log out and sign in again" in page) == (403, True)
    finally:
        hub.kill()
        hub.provider.kill()
