from parsl import python_app, File

@python_app
def f(inputs=(), outputs=()):
    with open(inputs[0]) as stream:
        return stream.read()

f(inputs=[File("x.txt")])
