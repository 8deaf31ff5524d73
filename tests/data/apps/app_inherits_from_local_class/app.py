import tqdm
from models import Base
from parsl import python_app

class Model(Base):
    pass

@python_app
def f():
    return Model()
