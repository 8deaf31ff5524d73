import pandas as pd
pd.read_excel("x.xlsx")
pd.DataFrame().to_parquet("x")
pd.read_excel("x.xls", engine="xlrd")
