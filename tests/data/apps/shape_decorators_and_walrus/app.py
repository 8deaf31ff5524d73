if (n := 10) > 5:
    import numpy
try:
    pass
except* ValueError:
    import tqdm
