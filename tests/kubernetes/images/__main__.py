"""Build the images and say how large they are: ``python -m tests.kubernetes.images [NAME …]``."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.kubernetes.cluster import versions
from tests.kubernetes.images.building import BASE_OF, build, packages_in, section
from tests.kubernetes.images.debian import PYTHONS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.images", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BASE_OF)} (default: all)")
    parser.add_argument(
        "--base", choices=PYTHONS, default="trixie", help="Debian release (default: %(default)s)"
    )
    parser.add_argument("--jupyterhub", type=int, choices=(5, 6), default=5, help="of the hub (default: 5)")
    parser.add_argument("--no-r", dest="r", action="store_false", help="leave R out of the user image")
    parser.add_argument(
        "--older", action="store_true", help="also the user image of the older Python that tests compare with"
    )
    parser.add_argument(
        "--record", action="store_true", help="put the versions of their Debian packages on record"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BASE_OF):
        parser.error(f"no such image: {', '.join(sorted(unknown))}; there are {', '.join(BASE_OF)}")
    wanted = [(name, options.base, options.r) for name in options.names or BASE_OF]
    if options.older:
        wanted.append(("user", "bookworm", False))
    print(f"{'image':<45} {'MiB':>6} {'s':>5}  archive")
    # Two at a time: a build waits for downloads as long as it computes.
    with ThreadPoolExecutor(2) as pool:
        builds = [
            pool.submit(build, name, base, jupyterhub=options.jupyterhub, r=r) for name, base, r in wanted
        ]
        for (name, base, _), built in zip(wanted, (future.result() for future in builds), strict=True):
            size = built.size_bytes / 2**20
            print(f"{built.name:<45} {size:>6.0f} {built.seconds:>5.0f}  {built.path}", flush=True)
            place, found = section(name, base), packages_in(built)
            if options.record and found:
                versions.write(place, found)
            if differing := versions.differences(place, found):
                print(f"  not the Debian packages that were tested: {'; '.join(differing)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
