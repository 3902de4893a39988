"""Holds Kubernetes manifests against the schemas of a release with the PyPI package `kubernetes-validate`: strictly, so
that a key which Kubernetes does not know is refused. Takes the documents as JSON in its first argument; prints one JSON
line: for each, what is wrong with it, or null."""

import json
import sys

import kubernetes_validate


def problem(document):
    try:
        kubernetes_validate.validate(document, "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)


print(json.dumps([problem(document) for document in json.loads(sys.argv[1])]))
