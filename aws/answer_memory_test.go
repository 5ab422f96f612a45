package aws_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/internal/cloudtest"
)

// hostile is XML that costs much to read: each is put into an answer, as large
// as an answer may be.
func hostileXML() map[string]string {
	const size = 256<<10 - 2048
	fill := func(piece string) string { return strings.Repeat(piece, size/len(piece)) }
	return map[string]string{
		"attributes":            "<a" + fill(` b=""`) + "></a>",
		"attributes of many":    fill(`<a b="" c="" d=""/>`),
		"namespaces":            "<a" + fill(` xmlns:b="c"`) + "></a>",
		"namespaces of many":    fill(`<a xmlns="b"/>`),
		"namespaces that nest":  fill(`<a xmlns:b="c">`),
		"attributes with >":     `<a z=">"` + fill(` b=">"`) + "></a>",
		"single quotes":         "<a" + fill(` b=''`) + "></a>",
		"few attributes, long":  `<a b="` + fill("b") + `"/>`,
		"a long name":           "<" + fill("a") + "/>",
		"long names":            strings.Repeat("<"+strings.Repeat("a", 2000)+"/>", 60),
		"long names that nest":  strings.Repeat("<"+strings.Repeat("a", 8000)+">", 4) + fill("<b/>"),
		"a long name of many":   "<" + strings.Repeat("a", 20000) + ">" + strings.Repeat("<b/>", 60),
		"a long prefix":         "<" + strings.Repeat("a", 60000) + ":b/>",
		"elements":              fill("<a/>"),
		"levels":                fill("<a>"),
		"a comment":             "<!--" + fill("c") + "-->",
		"comments":              fill("<!---->"),
		"an instruction":        "<?a " + fill("b") + "?>",
		"instructions":          fill("<?a?>"),
		"a directive":           "<!DOCTYPE a [" + fill("<!ENTITY b 'c'>") + "]>",
		"references":            "<a>" + fill("&#65;") + "</a>",
		"unknown references":    "<a>" + fill("&b;") + "</a>",
		"a long reference":      "<a>&" + fill("b") + ";</a>",
		"CDATA":                 "<a>" + fill("<![CDATA[b]]>") + "</a>",
		"long CDATA":            "<a><![CDATA[" + fill("b") + "]]></a>",
		"text":                  "<a>" + fill("b") + "</a>",
		"text that just fits":   "<a>" + strings.Repeat("b", 60<<10) + "</a>",
		"references that fit":   "<a>" + strings.Repeat("&#65;", 12<<10) + "</a>",
		"names that just fit":   strings.Repeat("<"+strings.Repeat("a", 64)+"/>", 50),
		"attributes that fit":   strings.Repeat("<a"+strings.Repeat(` xmlns:b="c"`, 5)+"/>", 40),
		"attributes of one tag": "<a" + strings.Repeat(` xmlns:b="c"`, 250) + "/>",
		"a document to the end": "<a>" + strings.Repeat("b", 63<<10) + "</a>",
	}
}

// X08: reading any XML as an answer or as a refusal costs less than 1 MiB, with
// the answer's own buffers.
func TestXMLMemory(t *testing.T) {
	for name, xml := range hostileXML() {
		for _, status := range []int{200, 403} {
			body := strings.Replace(good(now.Add(time.Hour)).body, "<Credentials>", xml+"<Credentials>", 1)
			if status != 200 {
				body = strings.Replace(refused(status, "AccessDenied", "words").body, "<Error>", xml+"<Error>", 1)
				body = body[:min(len(body), 64<<10)]
			}
			t.Run(http.StatusText(status)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					transport := cloudtest.RoundTripper(func(*http.Request) (*http.Response, error) {
						return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}}, ContentLength: -1,
							Body: io.NopCloser(strings.NewReader(body))}, nil
					})
					e, err := aws.New(aws.Config{RoleARN: roleARN, Region: region, Transport: transport, Now: func() time.Time { return now }})
					if err != nil {
						t.Fatal(err)
					}
					r := (&minter{}).request()
					before := totalAlloc()
					_, err = e.Exchange(t.Context(), r)
					if used := totalAlloc() - before; used > 1<<20 {
						t.Errorf("Exchange = %v, %d KiB allocated, want at most 1 MiB", err, used>>10)
					}
				})
			})
		}
	}
}

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
