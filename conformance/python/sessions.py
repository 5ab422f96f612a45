"""Asks AWS who it is in many sessions of boto3 at once, of which each gets its
credentials by itself and lives on, and prints the ARNs: sessions.py COUNT."""

import sys
import threading

import boto3

count = int(sys.argv[1])
together = threading.Barrier(count)
sessions = [boto3.Session() for _ in range(count)]
arns = []


def ask(session):
    together.wait()
    session.get_credentials().get_frozen_credentials()
    arns.append(session.client("sts").get_caller_identity()["Arn"])


threads = [threading.Thread(target=ask, args=(session,)) for session in sessions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("\n".join(arns))
