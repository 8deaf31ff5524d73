try:
    import numpy
finally:
    pass
