from parsl import bash_app

@bash_app
def simulate(n, stdout="out.txt"):
    return f"simulate --steps {n}"
