from sys import platform, version_info as v
import sys as system
if platform == "win32":
    import win32api
if v < (3, 0):
    import urllib2
if system.platform == "darwin":
    import AppKit
