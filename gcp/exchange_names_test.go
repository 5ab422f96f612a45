package gcp_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/gcp"
)

// Members count by their exact names, in errors as in answers, on every level.
func TestNamesAreExact(t *testing.T) {
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for name, a := range map[string]answer{
		"STS's error":            {status: 400, body: `{"Error":"invalid_grant","Error_Description":"words"}`},
		"STS's description":      {status: 400, body: `{"ERROR_DESCRIPTION":"words"}`},
		"IAM's error":            {status: 403, body: `{"error":{"Status":"PERMISSION_DENIED","Message":"words"}}`},
		"IAM's error, long s":    {status: 403, body: `{"error":{"\u017ftatus":"PERMISSION_DENIED","me\u017fsage":"words"}}`},
		"IAM's error, duplicate": {status: 403, body: `{"error":{"status":"A","status":"PERMISSION_DENIED","message":"words"}}`},
		"token":                  {body: `{"ACCESS_TOKEN":"ya29.a","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":899}`},
		"token type":             {body: `{"access_token":"ya29.a","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","Token_Type":"Bearer","expires_in":899}`},
		"lifetime":               {body: `{"access_token":"ya29.a","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_In":899}`},
		"impersonated token":     {body: `{"accesstoken":"ya29.a","expireTime":"` + expires + `"}`},
		"impersonated lifetime":  {body: `{"accessToken":"ya29.a","expiretime":"` + expires + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := &google{answers: []answer{a}}, gcp.Config{}
				if name[0] == 'i' {
					g.answers = []answer{federated("ya29.federated", 899), a}
					c.ServiceAccount = serviceAccount
				}
				err := exchangeError(t, newExchanger(t, g, c), exchange.Request{Subject: (&minter{}).subject})
				var xe *exchange.Error
				if !errors.As(err, &xe) || xe.Code != "" || xe.Description != "" {
					t.Errorf("error = %v, want an *exchange.Error with neither code nor words", err)
				}
			})
		})
	}
}
