import six
if six.PY2:
    import ConfigParser
else:
    import configparser
