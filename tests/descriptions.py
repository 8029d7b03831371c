"""A description that tests begin with, as an admin writes it, and what is read from it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from scalablehub.description import Description, load_description


def written(**sections: Any) -> dict[str, Any]:
    """Return a small description with everything in it; a section that is given replaces its own."""
    raw: dict[str, Any] = {
        "nodes": {
            "standard": {"cores": 4, "memory": "16G", "reserved": {"cores": "500m", "memory": "1G"}},
            "gpu": {"cores": 8, "memory": "64G", "reserved": {}, "ladder": []},
        },
        "sizes": {
            "small": {"order": 1, "node": "standard", "share": "1/4"},
            "large": {
                "order": 2,
                "node": "standard",
                "share": 1,
                "allowed_groups": ["research"],
                "locked": "Ask the research group.",
            },
            "secret": {"order": 3, "node": "gpu", "cores": 8, "memory": "60G", "allowed_groups": ["staff"]},
        },
        "images": {
            "base": {"order": 1, "image": "quay.io/hub/base:1", "prefix": "/opt/base", "interfaces": ["lab"]},
            "geo": {"order": 2, "image": "quay.io/hub/geo:1", "prefix": "/opt/geo"},
        },
        "interfaces": {
            "lab": {"order": 1, "display_name": "JupyterLab", "url": "/lab"},
            "rstudio": {"order": 2, "display_name": "RStudio", "url": "/rstudio"},
        },
        "buckets": {
            "scratch": {
                "url": "s3://scratch",
                "endpoint": "http://127.0.0.1:9000",
                "access": "write",
                "per_user": True,
                "variable": "SCRATCH_BUCKET",
            },
            "vault": {"url": "s3://vault", "endpoint": "http://127.0.0.1:9000", "allowed_groups": ["staff"]},
        },
        "dask": {"gateway_url": "http://127.0.0.1:8001", "allowed_groups": ["research"], "max_workers": 6},
    }
    return raw | sections


def described(**sections: Any) -> Description:
    """Return the description that `written` gives, validated."""
    return load_description(written(**sections))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Whatever JSON a client can send."""
