try:
    import oyaml as yaml
except ImportError:
    try:
        import yaml
    except ImportError:
        import ruamel.yaml as yaml
