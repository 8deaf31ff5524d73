try:
    import notinstalledanywhere
except ValueError:
    pass
