import os
import platform
import sys
if sys.platform == "win32":
    import win32api
if os.name == "nt":
    import winshell
if platform.system() == "Windows":
    import pywintypes
if sys.platform.startswith(("win", "cygwin")):
    import colorama
