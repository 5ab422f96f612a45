// Gets tokens from the runner as a GitHub action does, one every few seconds,
// and prints what they say.
"use strict";
const { getIDToken } = require("@actions/core");

(async () => {
  const [audience, times, seconds] = process.argv.slice(2);
  for (let i = 0; i < Number(times); i++) {
    if (i > 0) await new Promise((resolve) => setTimeout(resolve, 1000 * Number(seconds)));
    const token = await getIDToken(audience || undefined);
    const [, payload] = token.split(".");
    const { jti, exp, aud, connector_id } = JSON.parse(Buffer.from(payload, "base64url"));
    if (exp * 1000 <= Date.now()) throw new Error("the token has expired");
    console.log("token", jti, aud, connector_id);
  }
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
