try:
    import yaml
except ImportError:
    from ruamel import yaml
