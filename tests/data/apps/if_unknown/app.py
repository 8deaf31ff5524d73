import os
if os.environ.get("FAST"):
    import numpy
else:
    import requests
