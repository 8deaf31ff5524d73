f = lambda m=__import__("numpy"): m.zeros(1)
