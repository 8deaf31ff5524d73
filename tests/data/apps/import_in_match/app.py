def f(x):
    match x:
        case 1:
            import numpy
        case {"k": v}:
            import requests
