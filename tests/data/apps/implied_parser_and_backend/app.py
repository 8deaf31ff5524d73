import matplotlib
from bs4 import BeautifulSoup


BeautifulSoup("<p>", "lxml")
matplotlib.use("QtAgg")
