from __future__ import annotations

import pytest

from scalablehub.registry.addresses import Addresses, PrivateAddressError


@pytest.mark.parametrize(
    ("home", "host", "is_allowed"),
    [
        ("8.8.8.8", "8.8.4.4", True),
        ("8.8.8.8", "auth.docker.io", True),
        ("8.8.8.8", "169.254.169.254", False),
        ("8.8.8.8", "127.0.0.1", False),
        ("8.8.8.8", "10.0.0.1", False),
        ("8.8.8.8", "100.64.0.1", False),
        ("8.8.8.8", "0.0.0.0", False),
        ("8.8.8.8:5000", "::1", False),
        ("8.8.8.8", "fe80::1%eth0", False),
        # Who is at home in a private network may have its parts there.
        ("10.0.0.5:5000", "10.0.0.6", True),
        ("10.0.0.5", "auth.docker.io", True),
    ],
)
async def test_a_public_registry_has_no_business_in_private_networks(
    home: str, host: str, is_allowed: bool
) -> None:
    addresses = Addresses(home)
    assert addresses.allow(host) == is_allowed
    await addresses.close()


async def test_hosts_that_the_admin_has_named_may_be_anywhere() -> None:
    addresses = Addresses("8.8.8.8", trusted=["10.0.0.1:5000"])
    assert addresses.allow("10.0.0.1")
    assert not addresses.allow("10.0.0.2")
    await addresses.close()


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f000001"])
async def test_a_name_is_judged_by_where_it_leads(name: str) -> None:
    addresses = Addresses("8.8.8.8")
    with pytest.raises(PrivateAddressError):
        await addresses.resolve(name, 443)
    await addresses.close()


async def test_a_registry_whose_name_leads_to_a_private_address_is_at_home_there() -> None:
    addresses = Addresses("localhost:5000")
    assert not addresses.allow("127.0.0.1")
    assert await addresses.resolve("localhost", 5000)
    assert addresses.allow("127.0.0.1")
    await addresses.close()
