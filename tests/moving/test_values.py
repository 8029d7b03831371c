from __future__ import annotations

from typing import Any

import pytest

from scalablehub.errors import PublicError
from scalablehub.moving import locate


@pytest.mark.parametrize(
    ("values", "alias", "place"),
    [
        ({"singleuser": {}}, None, ""),
        ({"jupyterhub": {"hub": {}}}, None, "jupyterhub"),
        ({"basehub": {"jupyterhub": {"hub": {}}, "dask-gateway": {}}}, None, "basehub.jupyterhub"),
        ({"hub": {}, "inner": {"hub": {}}}, None, ""),
        ({"one": {"hub": {}}, "two": {"hub": {}}}, "two", "two"),
        ({"jupyterhub": {}}, "jupyterhub", "jupyterhub"),
    ],
)
def test_a_hub_is_found_below_the_names_of_other_charts(values: Any, alias: str | None, place: str) -> None:
    assert locate(values, alias).place == place


@pytest.mark.parametrize(
    "values", [{}, [], None, "hub", {"hub": "text"}, {"a": {"b": {"c": {"d": {"hub": {}}}}}}]
)
def test_values_of_something_else_are_refused(values: Any) -> None:
    with pytest.raises(PublicError, match="neither 'singleuser' nor 'hub'"):
        locate(values)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(PublicError, match=r"There is no section 'there\.not' in the values"):
        locate({"hub": {}}, "there.not")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"daskhub": {"jupyterhub": {"hub": {}}, "dask-gateway": {"gateway": {}}}}, "daskhub.dask-gateway"),
        ({"jupyterhub": {"hub": {}}, "dask-gateway": {"enabled": True}}, "dask-gateway"),
        ({"daskhub": {"jupyterhub": {"hub": {}}}}, "dask-gateway"),
        ({"hub": {}, "gateway": {"extraConfig": ""}}, ""),
        ({"jupyterhub": {"hub": {}}, "dask-gateway": {"enabled": False}}, None),
        ({"jupyterhub": {"hub": {}}}, None),
    ],
)
def test_the_gateway_is_found_beside_the_hub(values: Any, place: str | None) -> None:
    hub = locate(values)
    assert (None if hub.gateway is None else hub.gateway_place) == place
