import tqdm
def draw(): pass
