"""Holds documents against a JSON Schema file with the PyPI package `jsonschema`: the schema's path, then the documents as
one JSON list. Prints one JSON line: for each document, what is wrong with it, or null."""

import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    validator = jsonschema.Draft7Validator(json.load(file))
worst = [jsonschema.exceptions.best_match(validator.iter_errors(document)) for document in json.loads(sys.argv[2])]
print(json.dumps([error and f"{error.json_path}: {error.message}" for error in worst]))
