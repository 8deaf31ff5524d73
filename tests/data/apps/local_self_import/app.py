import tqdm
def f():
    from app import g
def g(): pass
