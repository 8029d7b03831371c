"""The credential service: its environment is a JupyterHub service's; the hub's description says the rest."""

import sys

from scalablehub.services.credentials.__main__ import main

sys.exit(main())
