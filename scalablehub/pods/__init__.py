"""What every pod of the hub has alike, servers and Dask's: labels, a place among the nodes, and few rights.

Plain functions that return Kubernetes' own words (camelCase dicts) from the description and the user.
"""

from scalablehub.pods.amounts import PODS, Resources, added_up, amount_of, quantities, quantity, requests_of
from scalablehub.pods.asking import FORWARDER, AskingPod, asking_in_pod, asking_pod
from scalablehub.pods.naming import choice_labels, user_annotations, user_labels
from scalablehub.pods.placement import accepts, has_labels, node_selector, tolerations
from scalablehub.pods.security import (
    CONTAINER_SECURITY_CONTEXT,
    POD_SECURITY_CONTEXT,
    restrict,
    weaknesses,
)

__all__ = [
    "CONTAINER_SECURITY_CONTEXT",
    "FORWARDER",
    "PODS",
    "POD_SECURITY_CONTEXT",
    "AskingPod",
    "Resources",
    "accepts",
    "added_up",
    "amount_of",
    "asking_in_pod",
    "asking_pod",
    "choice_labels",
    "has_labels",
    "node_selector",
    "quantities",
    "quantity",
    "requests_of",
    "restrict",
    "tolerations",
    "user_annotations",
    "user_labels",
    "weaknesses",
]
