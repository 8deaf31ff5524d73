import os.path, sys, json, _thread, xml.etree.ElementTree, concurrent.futures
from collections import abc
from importlib import metadata
from __future__ import annotations
