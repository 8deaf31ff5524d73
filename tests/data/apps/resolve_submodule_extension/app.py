from lxml import etree
import bs4
