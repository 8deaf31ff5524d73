import sys
if sys.platform in ("win32", "cygwin"):
    import win32api
elif sys.platform == "darwin":
    import AppKit
else:
    import requests
