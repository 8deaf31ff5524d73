import git
import yaml
