"""Drives the PyPI package `simple-salesforce` against the address in its first argument (JSON): every way that it has
to write, and reading back. Prints what it saw as one JSON line. The package speaks HTTPS alone, the org HTTP."""

import json
import sys

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceMalformedRequest

given = json.loads(sys.argv[1])


class PlainAdapter(HTTPAdapter):
    def send(self, request, **kwargs):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **kwargs)


session = requests.Session()
session.mount("https://", PlainAdapter())
session.headers["Sforce-Call-Options"] = "client=simple"
org = Salesforce(
    instance_url=given["instance_url"],
    session_id=given["access_token"],
    version="66.0",
    session=session,
)


def account(key, **fields):
    return {"attributes": {"type": "Account"}, "Customer_Id__c": key, **fields}


seen = {"created": org.Account.create({"Name": "Acme", "Customer_Id__c": "P-1"})}
seen["upserts"] = [
    org.Account.upsert("Customer_Id__c/P-1", {"Name": "Acme Two"}),
    org.Account.upsert("Customer_Id__c/P-2", {"Name": "Bolt"}),
]
seen["updated"] = org.Account.update(seen["created"]["id"], {"Phone": "1"})
seen["read"] = org.Account.get_by_custom_id("Customer_Id__c", "P-1")
try:
    org.Account.create({"Phone": "1"})
except SalesforceMalformedRequest as refused:
    seen["refused"] = refused.content
seen["collection"] = org.restful(
    "composite/sobjects/Account/Customer_Id__c",
    method="PATCH",
    json={"allOrNone": False, "records": [account("P-3", Name="Core"), account("P-4")]},
)
seen["fields"] = [field["name"] for field in org.Account.describe()["fields"] if field["externalId"]]
rows = [{"Customer_Id__c": f"P-{number}", "Name": f"Account {number}"} for number in range(5, 10)]
(job,) = org.bulk2.Account.upsert(records=rows, external_id_field="Customer_Id__c", wait=0.05)
seen["job"] = job
seen["results"] = org.bulk2.Account.get_all_ingest_records(job["job_id"])
seen["deleted"] = org.Account.delete(seen["created"]["id"])
seen["rows"] = org.query_all("SELECT Id, Name, Customer_Id__c FROM Account")["records"]
print(json.dumps(seen))
