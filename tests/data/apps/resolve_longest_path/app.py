from google.cloud import storage
import google.protobuf
