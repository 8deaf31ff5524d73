try:
    import numpy
    numpy.load("x")
except Exception:
    import requests
    requests.post("x")
