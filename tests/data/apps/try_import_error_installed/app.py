try:
    import yaml
except ImportError:
    from ruamel.yaml import YAML as yaml
