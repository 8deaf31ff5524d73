"""The parts of the warm interpreter (scripts; standard library only, Python 3.8 or newer).

`host.py` beside this folder loads it in an environment's own Python, under a name of its own, for `wq_package` cannot be
imported there. A worker imports `packets`, which says what the two tell each other.
"""
