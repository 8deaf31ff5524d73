import google.cloud
