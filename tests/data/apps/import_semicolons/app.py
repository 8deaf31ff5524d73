import numpy; import requests; x = 1
