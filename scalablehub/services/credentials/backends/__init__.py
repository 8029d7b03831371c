"""Where credentials come from: each store or cloud behind one small interface.

Amazon's STS, VersityGW's IAM, and a static key for development are here. Google's would be a token that is
narrowed by a Credential Access Boundary, and Azure's a token for the person: both are other shapes of
credentials than `Keys`, and neither is written yet.
"""

from scalablehub.services.credentials.backends.interface import Backend, Keys, StoreError, Wanted

__all__ = ["Backend", "Keys", "StoreError", "Wanted"]
