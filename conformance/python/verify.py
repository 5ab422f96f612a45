"""Verifies the candidates on stdin with PyJWT, as its documentation does."""

import json
import sys
import urllib.request

import jwt

clients = {}


def client(issuer):
    if issuer not in clients:
        with urllib.request.urlopen(issuer + "/.well-known/openid-configuration", timeout=10) as answer:
            document = json.load(answer)
        if document["issuer"] != issuer:
            raise jwt.InvalidIssuerError("the document is another issuer's")
        clients[issuer] = jwt.PyJWKClient(document["jwks_uri"]), document["id_token_signing_alg_values_supported"]
    return clients[issuer]


def verdict(candidate):
    try:
        keys, algorithms = client(candidate["issuer"])
        key = keys.get_signing_key_from_jwt(candidate["token"])
        claims = jwt.decode(
            candidate["token"],
            key,
            algorithms=algorithms,
            audience=candidate["audience"],
            issuer=candidate["issuer"],
            options={"require": ["exp", "iat", "sub"]},
        )
        return {"subject": claims["sub"], "error": ""}
    except jwt.PyJWTError as error:
        return {"subject": "", "error": f"{type(error).__name__}: {error}"}


print("PyJWT", jwt.__version__, file=sys.stderr)
json.dump([verdict(c) for c in json.load(sys.stdin)], sys.stdout)
