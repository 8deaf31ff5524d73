import dask.dataframe
