from importlib import resources
text = resources.files("certifi").joinpath("cacert.pem").read_text()
