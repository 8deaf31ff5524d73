import google.cloud.bigquery
import google.cloud.storage
from parsl import python_app

@python_app
def store():
    return google.cloud.storage.Client()

@python_app
def query():
    return google.cloud.bigquery.Client()
