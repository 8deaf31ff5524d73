for i in range(3):
    import tqdm
else:
    import numpy
with open("x") as f:
    import h5py
