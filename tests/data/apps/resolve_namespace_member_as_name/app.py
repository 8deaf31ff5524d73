from google.cloud import bigquery as bq
