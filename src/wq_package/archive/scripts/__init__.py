"""What runs inside an environment or before there is one: POSIX sh, or Python 3.8 with its standard library alone.

These files travel as text, read by `wq_package.archive.launcher.read_script`. They know nothing of the rest of this package.
"""
