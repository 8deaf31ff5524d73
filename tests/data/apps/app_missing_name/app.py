from parsl import python_app

@python_app
def fit(): pass

def main():
    @python_app
    def predict(): pass
