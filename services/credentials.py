"""The credential service: its environment is a JupyterHub service's and SCALABLEHUB_CREDENTIALS_BACKEND."""

import sys

from scalablehub.services.credentials.__main__ import main

sys.exit(main())
