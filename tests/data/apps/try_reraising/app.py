try:
    import notinstalledanywhere
except ImportError as error:
    raise RuntimeError("please install notinstalledanywhere") from error
