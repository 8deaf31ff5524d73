import numpy
import tqdm
