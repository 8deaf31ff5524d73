import google.cloud.nosuchservice
