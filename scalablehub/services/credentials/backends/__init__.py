"""Where credentials come from: each store or cloud behind one small interface.

Amazon's STS, VersityGW's IAM, a static key for development, and Google's tokens that a Credential Access
Boundary narrows are here. Azure's would be one more: a token that is narrowed to a container, or to a folder
in one.
"""

from scalablehub.services.credentials.backends.interface import Backend, Keys, StoreError, Wanted

__all__ = ["Backend", "Keys", "StoreError", "Wanted"]
