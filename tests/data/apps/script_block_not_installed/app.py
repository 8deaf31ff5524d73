# /// script
# dependencies = ["psycopg2-binary>=2.9"]
# ///
import psycopg2
