import _yaml
