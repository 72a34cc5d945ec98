"""Prints figures of the operator on a cluster of this folder's parent, as a table; see docs/performance.md.

python3 tests/cluster/figures node | control-plane PROGRAM     with RUN and KUBECONFIG set, as with.sh sets them

Times are read off the API server's audit log where they can be, and nothing is asserted.
"""

import os
import sys

import control_plane
import node
from client import Cluster


def main(arguments):
    cluster = Cluster(os.environ["KUBECONFIG"])
    match arguments:
        case ["node"]:
            node.main(cluster, os.environ["RUN"])
        case ["control-plane", program]:
            control_plane.main(cluster, os.environ["RUN"], program)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
