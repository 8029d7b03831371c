"""The Dask gateway service: start it with a JupyterHub service's environment and SCALABLEHUB_GATEWAY_URL."""

import sys

from scalablehub.services.dask_gateway.__main__ import main

sys.exit(main())
