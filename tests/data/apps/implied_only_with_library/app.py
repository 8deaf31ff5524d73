import json
thing.read_excel("x")
print("https://example.org", "s3://bucket")
