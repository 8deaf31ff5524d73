import scipy.stats
import matplotlib.pyplot as plt
