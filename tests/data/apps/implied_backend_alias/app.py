import matplotlib as mpl

mpl.use("QtAgg")
