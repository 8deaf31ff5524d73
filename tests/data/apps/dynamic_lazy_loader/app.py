import lazy_loader as lazy
np = lazy.load("numpy")
