from .. import constants as again
from ..constants import PI
value = 1
