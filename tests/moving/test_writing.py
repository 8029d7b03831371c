from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.moving import Uncarried, as_yaml

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_what_is_written_is_read_again(description: Any) -> None:
    assert yaml.safe_load(as_yaml(description))["hub"]["config"]["ScalableHub"] == (description or None)


@pytest.mark.parametrize(
    "text", ["yes", "NO", "1e5", "2026-01-01", "1_0", "0o7", "a: b", "# c", "null", "=", "-", "1:30"]
)
def test_text_stays_text(text: str) -> None:
    read = yaml.safe_load(as_yaml({"sizes": {text: text}}))
    assert read["hub"]["config"]["ScalableHub"]["sizes"] == {text: text}


def test_remarks_stand_before_what_they_are_about() -> None:
    text = as_yaml({"nodes": {"gpu": {"cores": 8}}}, remarks={("nodes", "gpu"): "look here"}, alias=["chart"])
    assert text.endswith(
        "chart:\n"
        "  hub:\n"
        "    config:\n"
        "      ScalableHub:\n"
        "        nodes:\n"
        "          # CHANGE: look here\n"
        "          gpu:\n"
        "            cores: 8\n"
    )


def test_what_was_lost_stands_in_comments_that_nothing_leaves() -> None:
    text = as_yaml({"nodes": {}}, [Uncarried("a.b", "is\nhub: {x: 1}\u2028y")])
    assert yaml.safe_load(text) == {"hub": {"config": {"ScalableHub": {"nodes": {}}}}}
    assert "# - a.b: is hub: {x: 1} y." in text
