# Short-lived keys for buckets: the credential service, and what it may ask the hub.
from scalablehub.hub import configure_credentials as _configure_credentials

_configure_credentials(c)
