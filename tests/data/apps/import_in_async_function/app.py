async def fetch(url):
    import requests
    async with something() as s:
        import numpy as np
    return requests
