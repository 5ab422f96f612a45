package conformance_test

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/needs"
)

func javaVersion(t *testing.T) string {
	t.Helper()
	needs.Program(t, "java")
	jars, err := filepath.Glob(filepath.Join(installed(t, "java"), "google-auth-library-oauth2-http-*.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("the library's JARs are %q, %v", jars, err)
	}
	version := strings.TrimPrefix(filepath.Base(jars[0]), "google-auth-library-oauth2-http-")
	return strings.TrimSuffix(version, ".jar") + ", " + javaMachine(t)
}

// javaMachine returns the version of the virtual machine.
func javaMachine(t *testing.T) string {
	t.Helper()
	machine, _, _ := strings.Cut(output(t, "java", "--version"), " OpenJDK") // the first line
	return machine
}

func javaEnv(t *testing.T, g *google) map[string]string {
	t.Helper()
	return map[string]string{
		"LIBRARIES":        installed(t, "java"),
		"SCRIPT":           absolute(t, "java", "Projects.java"),
		"JDK_JAVA_OPTIONS": javaOptions(t, g),
	}
}

// javaOptions lead the virtual machine to the proxy, since it reads no
// HTTPS_PROXY, and make it trust the CA.
func javaOptions(t *testing.T, g *google) string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "trust.p12")
	command := exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "conformance",
		"-file", g.proxy.caFile, "-keystore", store, "-storetype", "PKCS12", "-storepass", "conformance")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("keytool: %v\n%s", err, out)
	}
	proxy, err := url.Parse(g.proxy.url)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join([]string{
		"-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=conformance",
		"-Dhttps.proxyHost=" + proxy.Hostname(), "-Dhttps.proxyPort=" + proxy.Port(),
		"-Dhttp.proxyHost=" + proxy.Hostname(), "-Dhttp.proxyPort=" + proxy.Port(),
	}, " ")
}
