import pkgutil
f = pkgutil.resolve_name("scipy.stats:norm")
