"""Measures what running tasks use (scripts; standard library only, Python 3.8 or newer).

Knows processes; knows nothing of tasks, queues or environments. The spawner of a worker uses these modules for commands,
and the warm interpreter for the calls that it forks, in the environment's own Python. Neither can import
`wq_package`, so both load this folder under a name of their own, and its modules import each other relatively.
"""
