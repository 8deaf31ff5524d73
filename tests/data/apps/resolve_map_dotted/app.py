import google.cloud
import weird.deep.down
