import requests
from parsl import python_app

@python_app
async def f(url):
    return requests.get(url)
