"""Denies a prefix of transactional ids to everybody: deny.py BOOTSTRAP PREFIX. Prints {"denied": PREFIX}."""
import json
import sys

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

bootstrap, prefix = sys.argv[1:]
rule = AclBinding(
    ResourceType.TRANSACTIONAL_ID,
    prefix,
    ResourcePatternType.PREFIXED,
    "User:*",
    "*",
    AclOperation.ALL,
    AclPermissionType.DENY,
)
admin = AdminClient({"bootstrap.servers": bootstrap})
for made in admin.create_acls([rule]).values():
    made.result(30)
print(json.dumps({"denied": prefix}))
