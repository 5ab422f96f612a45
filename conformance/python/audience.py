"""Gets a JWT for an audience from the step's endpoint, as the client that is
named does, and prints the audience that it has: audience.py CLIENT AUDIENCE."""

import base64
import json
import os
import sys

client, audience = sys.argv[1:]
if client == "id":
    import id

    os.environ["GITHUB_ACTIONS"] = "true"
    token = id.detect_credential(audience)
else:
    import requests

    header = {"Authorization": "bearer " + os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]}
    if client == "requests.get":
        url = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"]
        answer = requests.get(url, params={"audience": audience}, headers=header, timeout=30)
    else:
        answer = requests.post(os.environ["OIDCTOKEN_URL"], json={"audience": audience}, headers=header, timeout=30)
    answer.raise_for_status()
    token = answer.json()["value"]
payload = token.split(".")[1]
print("audience", json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"])
