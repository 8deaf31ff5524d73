try:
    import ujson as json
except ModuleNotFoundError:
    import json
