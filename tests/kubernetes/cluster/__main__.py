"""`python -m tests.kubernetes.cluster up` and `down`, which `make cluster` and `make cluster-down` run."""

from __future__ import annotations

import argparse
import sys

from . import OwnCluster, down, up, versions
from .build import write_pins
from .cluster import packages_of_machine, section_of_machine, untested_packages
from .errors import ClusterError
from .progress import Progress


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the Kubernetes cluster up")
    ending = commands.add_parser("down", help="end it")
    ending.add_argument("--wipe", action="store_true", help="remove its state too")
    pinning = commands.add_parser("pin", help="write go.mod and go.sum of another version")
    pinning.add_argument("version", help="such as 1.35.4")
    comparing = commands.add_parser("versions", help="say which Debian packages are not as they were tested")
    comparing.add_argument("--record", action="store_true", help="put this machine's on record instead")
    arguments = parser.parse_args()
    progress = Progress()
    try:
        if arguments.command == "pin":
            write_pins(arguments.version.removeprefix("v"))
            return
        if arguments.command == "versions":
            if arguments.record:
                versions.write(section_of_machine(), packages_of_machine())
            print("\n".join(untested_packages() or ["Debian's packages are those that were tested."]))
            return
        if arguments.command == "down":
            down(wipe=arguments.wipe, progress=progress)
            return
        cluster = up(progress)
    except ClusterError as error:
        sys.exit(f"  {error}")
    except KeyboardInterrupt:
        sys.exit("  interrupted; nothing was left running")
    print("\n  Use it:  export KUBECONFIG=" + str(cluster.kubeconfig))
    print(f"           kubectl: {cluster.kubectl}")
    if isinstance(cluster, OwnCluster):
        print(f"           logs: {cluster.settings.logs}")


if __name__ == "__main__":
    main()
