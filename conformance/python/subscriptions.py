"""Lists subscriptions with the credential of azure-identity that the argument
names, through azure-core's own pipeline, and prints their names."""

import os
import sys

import azure.identity
from azure.core import PipelineClient
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest

# Microsoft does not know a private authority, and would be asked about it.
options = {"disable_instance_discovery": True} if os.environ.get("PRIVATE_AUTHORITY") else {}
credential = getattr(azure.identity, sys.argv[1])(**options)
manager = os.environ["RESOURCE_MANAGER"]
client = PipelineClient(
    manager,
    policies=[RetryPolicy(), BearerTokenCredentialPolicy(credential, "https://management.azure.com/.default")],
)
answer = client.send_request(HttpRequest("GET", manager + "/subscriptions", params={"api-version": "2022-12-01"}))
answer.raise_for_status()
for subscription in answer.json()["value"]:
    print(subscription["displayName"])
