// Lists projects with the application default credentials, as
// google-auth-library's documentation does, and prints their ids.
"use strict";
const { GoogleAuth } = require("google-auth-library");

async function main() {
  const auth = new GoogleAuth({ scopes: "https://www.googleapis.com/auth/cloud-platform" });
  const client = await auth.getClient();
  const { data } = await client.request({ url: "https://cloudresourcemanager.googleapis.com/v1/projects" });
  for (const project of data.projects) console.log(project.projectId);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
