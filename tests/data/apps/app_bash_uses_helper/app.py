import yaml, requests
from parsl import bash_app

def quote(x):
    return yaml.dump(x)

@bash_app
def render(x):
    return f"echo {quote(x)}"
