// Verifies the candidates on stdin with the library that is named, as its
// documentation does.
"use strict";
const { readFileSync } = require("node:fs");

const documents = new Map();
async function discover(issuer) {
  if (!documents.has(issuer)) {
    const answer = await fetch(issuer + "/.well-known/openid-configuration", { redirect: "error" });
    const document = await answer.json();
    if (document.issuer !== issuer) throw new Error("the document is another issuer's");
    documents.set(issuer, document);
  }
  return documents.get(issuer);
}

const cached = new Map();
function once(key, make) {
  if (!cached.has(key)) cached.set(key, make());
  return cached.get(key);
}

const verifiers = {
  async jose(candidate) {
    const { createRemoteJWKSet, jwtVerify } = require("jose");
    const document = await discover(candidate.issuer);
    const keys = once(document.jwks_uri, () => createRemoteJWKSet(new URL(document.jwks_uri)));
    const { payload } = await jwtVerify(candidate.token, keys, {
      issuer: candidate.issuer,
      audience: candidate.audience,
      requiredClaims: ["exp", "iat", "sub"],
    });
    return payload.sub;
  },

  async jsonwebtoken(candidate) {
    const { verify } = require("jsonwebtoken");
    const { JwksClient } = require("jwks-rsa");
    const document = await discover(candidate.issuer);
    const client = once(document.jwks_uri, () => new JwksClient({ jwksUri: document.jwks_uri }));
    const key = (header, done) =>
      client.getSigningKey(header.kid).then((k) => done(null, k.getPublicKey()), done);
    const claims = await new Promise((resolve, reject) =>
      verify(
        candidate.token,
        key,
        { algorithms: ["RS256", "ES256"], issuer: candidate.issuer, audience: candidate.audience },
        (error, payload) => (error ? reject(error) : resolve(payload)),
      ),
    );
    return claims.sub;
  },
};

async function main(library) {
  for (const name of library === "jose" ? ["jose"] : ["jsonwebtoken", "jwks-rsa"]) {
    process.stderr.write(`${name} ${require("./package.json").dependencies[name]} `);
  }
  const verdicts = [];
  for (const candidate of JSON.parse(readFileSync(0, "utf8"))) {
    try {
      verdicts.push({ subject: await verifiers[library](candidate), error: "" });
    } catch (error) {
      verdicts.push({ subject: "", error: `${error.name}: ${error.message}` });
    }
  }
  process.stdout.write(JSON.stringify(verdicts));
}

main(process.argv[2]);
