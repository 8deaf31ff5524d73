import parsl
from parsl.app.app import python_app

parsl.load()

@python_app
def pi(num_points):
    from random import random
    inside = 0
    for i in range(num_points):
        x, y = random(), random()
        if x**2 + y**2 < 1:
            inside += 1
    return inside * 4 / num_points

@python_app
def mean(a, b, c):
    return (a + b + c) / 3

a, b, c = pi(10**6), pi(10**6), pi(10**6)
print(mean(a, b, c).result())
