import dask.array
