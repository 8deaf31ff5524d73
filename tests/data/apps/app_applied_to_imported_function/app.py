import lib
from parsl import python_app

remote_f = python_app(lib.f)
