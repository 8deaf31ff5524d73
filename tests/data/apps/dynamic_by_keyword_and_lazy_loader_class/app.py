import importlib.util
from importlib import import_module
from tools import LazyLoader
importlib.util.find_spec(name="tqdm")
import_module(package=None, name="requests")
np = LazyLoader("np", globals(), "numpy")
from werkzeug.utils import import_string
import_string("scipy.stats:norm")
