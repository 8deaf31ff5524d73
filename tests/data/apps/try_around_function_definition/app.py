try:
    def f():
        import notinstalledanywhere
except ImportError:
    pass
