package azure_test

import (
	"errors"
	"testing"

	"github.com/oidctoken/oidctoken/azure"
	"github.com/oidctoken/oidctoken/exchange"
)

// Members count by their exact names, in errors as in answers.
func TestNamesAreExact(t *testing.T) {
	for name, a := range map[string]answer{
		"error":     {status: 400, body: `{"Error":"invalid_client","ERROR_DESCRIPTION":"AADSTS700213: words","Error_Codes":[700213]}`},
		"long s":    {status: 400, body: `{"error_de\u017fcription":"AADSTS700213: words","error_code\u017f":[700213]}`},
		"duplicate": {status: 400, body: `{"error":"invalid_client","error":"invalid_grant","error_description":"words"}`},
		"token":     {body: `{"acce\u017fs_token":"eyJ0.access","token_type":"Bearer","expires_in":3599}`},
		"type":      {body: `{"access_token":"eyJ0.access","TOKEN_TYPE":"Bearer","expires_in":3599}`},
		"lifetime":  {body: `{"access_token":"eyJ0.access","token_type":"Bearer","Expires_in":3599}`},
	} {
		t.Run(name, func(t *testing.T) {
			err := exchangeError(t, newExchanger(t, &entra{answers: []answer{a}}, azure.Config{}), exchange.Request{Subject: (&minter{}).subject})
			var xe *exchange.Error
			if !errors.As(err, &xe) || xe.Code != "" || xe.Description != "" || xe.Temporary() {
				t.Errorf("error = %v, want a permanent *exchange.Error with neither code nor words", err)
			}
		})
	}
}
