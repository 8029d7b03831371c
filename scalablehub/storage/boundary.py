"""From a decision to Google's Credential Access Boundary: what a token may do of what its account may.

* A rule is for one bucket and one set of rights: reading, or reading and writing. There are at most ten.
* Objects are granted below a prefix that ends in ``/``; so is their listing. Neither ``alice`` nor nothing
  is below ``alice/``.
* Nothing of a name or a URL can be more than text in the language of conditions.

It narrows tokens for buckets with uniform access only. Source: "Credential Access Boundaries" and "IAM
Conditions" in Google Cloud's documentation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from scalablehub.decisions import Decision
from scalablehub.errors import PublicError, shown
from scalablehub.storage.places import is_google, nothing_to_open, place_of

MOST_RULES = 10
"""The most that a boundary may have."""

_READ, _WRITE = "inRole:roles/storage.objectViewer", "inRole:roles/storage.objectUser"


def boundary_of(decision: Decision) -> dict[str, Any]:
    """Return the boundary of a token with which a user opens what they may of Google's buckets.

    Raises:
        PublicError: the user may have no bucket of Google's (status 403, as no boundary is none), or the
            URL of one cannot stand in a condition (status 500).
    """
    writable: dict[tuple[str, str], bool] = defaultdict(bool)
    for bucket in decision.buckets:
        if bucket.is_open and is_google(bucket):
            writable[place_of(bucket, "a condition")] |= bucket.writable
    if not writable:
        raise nothing_to_open()
    prefixes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (name, prefix), may_write in writable.items():
        prefixes[name, _WRITE if may_write else _READ].add(prefix)
    rules = [_rule(name, rights, sorted(found)) for (name, rights), found in sorted(prefixes.items())]
    return {"accessBoundary": {"accessBoundaryRules": rules}}


def boundary_text(decision: Decision, most_rules: int = MOST_RULES) -> str:
    """Return the boundary as canonical JSON.

    Raises:
        PublicError: as `boundary_of`; or it has more rules than Google takes, status 500: it is refused as a
            whole, since one without a rule would lack a bucket.
    """
    boundary = boundary_of(decision)
    if (count := len(boundary["accessBoundary"]["accessBoundaryRules"])) > most_rules:
        raise PublicError(
            "policy-too-large",
            f"The buckets of {shown(decision.user.name)} need {count} rules, and Google takes {most_rules}. "
            "Put data that goes to the same people into one bucket, or give this person fewer buckets.",
            500,
        )
    return json.dumps(boundary, separators=(",", ":"), sort_keys=True)


def _rule(name: str, rights: str, prefixes: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "availableResource": f"//storage.googleapis.com/projects/_/buckets/{name}",
        "availablePermissions": [rights],
    }
    if "" in prefixes:
        return rule
    tests = [
        test
        for prefix in prefixes
        for test in (
            f"resource.name.startsWith('projects/_/buckets/{name}/objects/{prefix}')",
            f"api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('{prefix}')",
        )
    ]
    return rule | {"availabilityCondition": {"expression": " || ".join(tests)}}
