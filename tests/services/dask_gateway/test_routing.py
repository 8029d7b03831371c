from __future__ import annotations

import pytest

from scalablehub.services.dask_gateway.headers import cookie_values, is_same_origin
from scalablehub.services.dask_gateway.refusals import Refusal
from scalablehub.services.dask_gateway.routing import Kind, api_query, find_route, safe_next

PREFIX = "/services/dask-gateway/"


@pytest.mark.parametrize(
    ("path", "kind", "upstream"),
    [
        ("", Kind.PAGE, ""),
        ("healthz", Kind.HEALTH, ""),
        ("sign-in", Kind.PAGE, ""),
        ("api/v1/clusters/", Kind.API, "/api/v1/clusters/"),
        ("api/v1/clusters/hub.3f2a", Kind.API, "/api/v1/clusters/hub.3f2a"),
        ("clusters/a1", Kind.DASHBOARD, "/clusters/a1/"),
        ("clusters/a1/", Kind.DASHBOARD, "/clusters/a1/"),
        ("clusters/a1/status", Kind.DASHBOARD, "/clusters/a1/status"),
        ("clusters/a1/static/js/x.min.js", Kind.DASHBOARD, "/clusters/a1/static/js/x.min.js"),
        (
            "clusters/a1/info/worker/tcp%3A%2F%2F127.0.0.1%3A3.html",
            Kind.DASHBOARD,
            "/clusters/a1/info/worker/tcp%3A%2F%2F127.0.0.1%3A3.html",
        ),
        # As JupyterLab's Dask panel needs addresses to look.
        ("of/user/al/proxy/clusters/a1/status", Kind.MOVED, f"{PREFIX}clusters/a1/status"),
        ("of/hub/user/a%40b/second/proxy/clusters/a1/x", Kind.MOVED, f"{PREFIX}clusters/a1/x"),
        ("of/user/proxy/clusters/proxy/clusters/a1/", Kind.MOVED, f"{PREFIX}clusters/a1/"),
    ],
)
def test_known_addresses_go_where_they_say(path: str, kind: Kind, upstream: str) -> None:
    route = find_route(PREFIX + path, PREFIX)
    assert (route.kind, route.upstream) == (kind, upstream)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("clusters/../api/v1/options", 400),
        ("of/user/al/proxy/clusters/../api/v1/options", 400),
        ("of/user/al/proxy/clusters/a1/%2e%2e/b1/status", 400),
        ("of/user/al/proxy/api/v1/options", 404),
        ("of/user/al/clusters/a1/status", 404),
        ("of//user/al/proxy/clusters/a1/status", 400),
        ("clusters/a1/../../api/v1/options", 400),
        ("clusters/a1/%2e%2e/b1/status", 400),
        ("clusters/a1/%2E%2E%2Fb1/status", 400),
        ("clusters/a1/x%2f..%2f..%2fb1", 400),
        ("clusters/a1/.%2e/b1", 400),
        ("clusters/a1/./status", 400),
        ("clusters/%61%31/status", 400),
        ("clusters/a1%2fstatus", 400),
        ("clusters//a1/status", 400),
        ("clusters/a1//status", 400),
        ("clusters/a1/status;x", 400),
        ("clusters/a1;x/status", 400),
        ("clusters/a1/%3bx", 400),
        ("clusters/a1/%00", 400),
        ("clusters/a1/%0d%0aX", 400),
        ("clusters/a1/%5c..%5cb1", 400),
        ("clusters/a1/\\..\\b1", 400),
        ("clusters/a1/%252e%252e/b1", 400),
        ("clusters/a1/%2", 400),
        ("clusters/a1/%zz", 400),
        ("clusters/a1/%ff", 400),
        ("clusters/a1/status#x", 400),
        ("clusters/a1/st tus", 400),
        ("clusters/a1/é", 400),
        ("api/%76ersion", 400),
        ("api/v1/../version", 400),
        ("clusters/", 404),
        ("clusters/-a/status", 404),
        ("clusters/a..b/status", 404),
        ("clusters/a_b/status", 404),
        (f"clusters/{'a' * 129}/status", 404),
        ("api/v1/clusters/a1/heartbeat", 404),
        ("api/v1/routes", 404),
        ("API/v1/options", 404),
        ("healthz/", 404),
        ("x", 404),
        ("x" * 65536, 414),
    ],
)
def test_hostile_and_unknown_addresses_are_refused(path: str, status: int) -> None:
    with pytest.raises(Refusal) as refusal:
        find_route(PREFIX + path, PREFIX)
    assert refusal.value.status == status


@pytest.mark.parametrize(
    "path", ["/", "/hub/api", "/services/dask-gateway-2/api/version", "*", "http://x/services/dask-gateway/"]
)
def test_addresses_outside_our_prefix_are_refused(path: str) -> None:
    with pytest.raises(Refusal):
        find_route(path, PREFIX)


@pytest.mark.parametrize(
    "target",
    [
        "/services/dask-gateway/",
        "/services/dask-gateway/clusters/a1/status",
        "/services/dask-gateway/clusters/a1/status?theme=dark&x=%2F",
        "/services/dask-gateway/clusters/a1/info/worker/tcp%3A%2F%2F127.0.0.1%3A3.html",
    ],
)
def test_a_next_below_our_prefix_is_followed(target: str) -> None:
    assert safe_next(target, PREFIX) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "//evil.example",
        "///evil.example",
        "////evil.example/services/dask-gateway/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "\x00//evil.example",
        "https://evil.example/services/dask-gateway/",
        "https:/services/dask-gateway/",
        "https:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        "/services/dask-gateway",
        "/services/dask-gateway.evil.example/",
        "/services/dask-gateway@evil.example/",
        "/services/dask-gatewayx/",
        "/services/dask-gateway/../../hub/logout",
        "/services/dask-gateway/%2e%2e/%2e%2e/hub/logout",
        "/services/dask-gateway/%2e%2e%2f%2e%2e%2fhub/logout",
        "/services/dask-gateway/%252e%252e/x",
        "/services/dask-gateway/..\\..\\hub/logout",
        "/services/dask-gateway/%5c..%5chub",
        "/services/dask-gateway//evil.example",
        "/services/dask-gateway/x;y",
        "/services/dask-gateway/#//evil.example",
        "/services/dask-gateway/\r\nSet-Cookie: a=b",
        "/services/dask-gateway/%0d%0aSet-Cookie:a=b",
        "/services/dask-gateway/\u2028",
        "/ser\u0131vices/dask-gateway/",
        "\uff0fservices/dask-gateway/",
        "/services/dask-gateway/" + "a" * 5000,
        "/hub/logout",
    ],
)
def test_a_next_that_leads_elsewhere_is_refused(target: str) -> None:
    assert safe_next(target, PREFIX) is None


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://hub.example", "hub.example", True),
        ("https://hub.example", "hub.example:443", True),
        ("http://hub.example:8000", "hub.example:8000", True),
        ("https://HUB.example", "hub.example", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://evil.example", "hub.example", False),
        ("https://hub.example.evil.example", "hub.example", False),
        ("https://hub.example:444", "hub.example", False),
        ("https://alice.hub.example", "hub.example", False),
        ("https://hub.example@evil.example", "hub.example", False),
        ("https://hub.example/", "hub.example", False),
        ("file://hub.example", "hub.example", False),
        ("null", "hub.example", False),
        ("", "hub.example", False),
        ("", "", False),
        ("https://hub.example:x", "hub.example", False),
    ],
)
def test_an_origin_is_ours_only_if_it_is_the_host_that_was_asked(origin: str, host: str, same: bool) -> None:
    assert is_same_origin(origin, host) is same


def test_of_a_query_only_what_dask_gateway_knows_goes_on() -> None:
    assert api_query("wait&x=1&status=RUNNING,PENDING&status=%0a") == "wait=&status=RUNNING,PENDING"


def test_every_cookie_of_the_name_is_seen() -> None:
    assert cookie_values('a=1; s="x|1="; sx=2;s=3', "s") == ["x|1=", "3"]
