import numpy as np
import parsl
import parsl as p
from parsl import python_app as task
from parsl.app.app import bash_app, python_app
import parsl.app.app as apps

@task
def a(): return np.pi

@parsl.python_app
def b(): pass

@p.bash_app
def c(): return "true"

@apps.join_app
def d(): pass

@python_app
def e(): return np.e

@bash_app
def f(): return "true"
