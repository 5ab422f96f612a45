import com.google.api.client.http.GenericUrl;
import com.google.api.client.http.HttpResponse;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Lists projects with the application default credentials, as the documentation of
 * google-auth-library does, and prints their ids.
 */
public final class Projects {
  private static final Pattern ID = Pattern.compile("\"projectId\":\"([^\"]*)\"");

  public static void main(String[] args) throws Exception {
    GoogleCredentials credentials =
        GoogleCredentials.getApplicationDefault()
            .createScoped("https://www.googleapis.com/auth/cloud-platform");
    HttpResponse answer =
        new NetHttpTransport()
            .createRequestFactory(new HttpCredentialsAdapter(credentials))
            .buildGetRequest(new GenericUrl("https://cloudresourcemanager.googleapis.com/v1/projects"))
            .execute();
    Matcher ids = ID.matcher(answer.parseAsString());
    while (ids.find()) {
      System.out.println(ids.group(1));
    }
  }
}
