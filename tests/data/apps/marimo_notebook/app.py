import marimo

__generated_with = "0.16.0"
app = marimo.App(width="medium")

with app.setup:
    import scipy.stats


@app.cell
def _():
    import marimo as mo
    import numpy as np
    return mo, np


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""import nothing""")
    return


@app.cell
def _(np):
    try:
        import not_installed_anywhere
    except ImportError:
        not_installed_anywhere = None
    from tqdm import tqdm
    return not_installed_anywhere, tqdm


@app.function
def half(x):
    import yaml
    return yaml.dump(x)


if __name__ == "__main__":
    app.run()
