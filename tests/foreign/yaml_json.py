"""Prints the documents of YAML files as one JSON line: a list for each file, by the PyPI package `PyYAML`."""

import json
import sys

import yaml

print(json.dumps([list(yaml.safe_load_all(open(name, encoding="utf-8"))) for name in sys.argv[1:]]))
