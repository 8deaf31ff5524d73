from \
    numpy import \
    array
