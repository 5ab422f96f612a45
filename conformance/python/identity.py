"""Asks AWS who it is, as boto3's documentation does, and prints the ARN."""

import boto3

print(boto3.client("sts").get_caller_identity()["Arn"])
