
def helper(): pass
