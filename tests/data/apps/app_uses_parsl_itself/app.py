from parsl import python_app
from parsl.data_provider.files import File

@python_app
def f(name):
    return File(name)
