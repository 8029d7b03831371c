"""What a user may have, and why: pure functions of the description and the user.

Page, REST, gateway, data access and `check` ask here; nobody re-implements a rule.
"""

from scalablehub.decisions.choosing import Refusal, Selection, choose, remembered
from scalablehub.decisions.deciding import (
    BucketChoice,
    Choice,
    DaskChoice,
    Decision,
    DirectoryChoice,
    ImageChoice,
    InterfaceChoice,
    SizeChoice,
    State,
    User,
    decide,
)

__all__ = [
    "BucketChoice",
    "Choice",
    "DaskChoice",
    "Decision",
    "DirectoryChoice",
    "ImageChoice",
    "InterfaceChoice",
    "Refusal",
    "Selection",
    "SizeChoice",
    "State",
    "User",
    "choose",
    "decide",
    "remembered",
]
