import fsspec
fsspec.open("s3://bucket/key")
fsspec.open("gcs://bucket/key")
