"""What a user may have, and why: pure functions of the description and the user.

Page, REST, gateway, data access and `check` ask here; nobody re-implements a rule.
"""

from scalablehub.decisions.capping import Amount, Bound, Bounds, Excess, bounds_of, excess
from scalablehub.decisions.choosing import Refusal, Selection, choose, choose_image, remembered
from scalablehub.decisions.deciding import (
    BucketChoice,
    Choice,
    DaskChoice,
    DatasetChoice,
    Decision,
    DirectoryChoice,
    ImageChoice,
    InterfaceChoice,
    OwnImageChoice,
    SizeChoice,
    State,
    User,
    decide,
    in_every_group,
)
from scalablehub.decisions.explaining import Row, explain
from scalablehub.decisions.granting import Grant, Wish, grant
from scalablehub.decisions.placing import scheduler_node, usual_worker

__all__ = [
    "Amount",
    "Bound",
    "Bounds",
    "BucketChoice",
    "Choice",
    "DaskChoice",
    "DatasetChoice",
    "Decision",
    "DirectoryChoice",
    "Excess",
    "Grant",
    "ImageChoice",
    "InterfaceChoice",
    "OwnImageChoice",
    "Refusal",
    "Row",
    "Selection",
    "SizeChoice",
    "State",
    "User",
    "Wish",
    "bounds_of",
    "choose",
    "choose_image",
    "decide",
    "excess",
    "explain",
    "grant",
    "in_every_group",
    "remembered",
    "scheduler_node",
    "usual_worker",
]
