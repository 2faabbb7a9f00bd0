"""Hard clusters: exact ones for two y (`intervals`), and the whole tree of merged ones (`agglomerate`).

Both work on the pools of `pools`: the sums over its members that are all a distortion asks of a cluster.
"""
