from six.moves import urllib
import six.moves.queue
