from sqlalchemy import create_engine
create_engine("postgresql://host/db")
create_engine("mysql+pymysql://host/db")
