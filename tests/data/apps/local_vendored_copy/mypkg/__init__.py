from ._vendor import requests
from mypkg._vendor.six import moves
