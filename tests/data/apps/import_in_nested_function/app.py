def outer():
    def inner():
        def innermost():
            from scipy import optimize
            return optimize
        return innermost
    return inner
