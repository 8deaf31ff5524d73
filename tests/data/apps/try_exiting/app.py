import sys
try:
    import notinstalledanywhere
except ImportError:
    sys.exit("please install notinstalledanywhere")
