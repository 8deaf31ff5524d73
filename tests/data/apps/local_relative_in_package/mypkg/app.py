from .helpers import f
from . import other
