"""Lists projects with the application default credentials, as google-auth's
documentation does, and prints their ids."""

import google.auth
from google.auth.transport.requests import AuthorizedSession

credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
answer = AuthorizedSession(credentials).get("https://cloudresourcemanager.googleapis.com/v1/projects", timeout=30)
answer.raise_for_status()
for project in answer.json()["projects"]:
    print(project["projectId"])
