import logging
import os
from parsl import python_app

log = logging.getLogger(__name__)

@python_app
def f(x):
    log.info("working on %s in %s", x, os.getcwd())
    return x
