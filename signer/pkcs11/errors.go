package pkcs11

import (
	"errors"
	"fmt"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/oidctoken/oidctoken/signer"
)

const service = "pkcs11"

// returned is a CK_RV other than CKR_OK: why a function of the library failed
// (section 5.1).
type returned uint

func (r returned) Error() string { return fmt.Sprintf("CK_RV 0x%08X", uint(r)) }

// name returns the name of the constant, or the number of a vendor's own code.
func (r returned) name() string {
	if name, ok := lasting[r]; ok {
		return name
	}
	if name, ok := passing[r]; ok {
		return name
	}
	return fmt.Sprintf("0x%08X", uint(r))
}

// lasting are refusals: the same call would be refused again.
var lasting = map[returned]string{
	cryptoki.CKR_ARGUMENTS_BAD:                  "CKR_ARGUMENTS_BAD",
	cryptoki.CKR_ATTRIBUTE_READ_ONLY:            "CKR_ATTRIBUTE_READ_ONLY",
	cryptoki.CKR_ATTRIBUTE_SENSITIVE:            "CKR_ATTRIBUTE_SENSITIVE",
	cryptoki.CKR_ATTRIBUTE_TYPE_INVALID:         "CKR_ATTRIBUTE_TYPE_INVALID",
	cryptoki.CKR_ATTRIBUTE_VALUE_INVALID:        "CKR_ATTRIBUTE_VALUE_INVALID",
	cryptoki.CKR_ACTION_PROHIBITED:              "CKR_ACTION_PROHIBITED",
	cryptoki.CKR_DATA_INVALID:                   "CKR_DATA_INVALID",
	cryptoki.CKR_DATA_LEN_RANGE:                 "CKR_DATA_LEN_RANGE",
	cryptoki.CKR_ENCRYPTED_DATA_INVALID:         "CKR_ENCRYPTED_DATA_INVALID",
	cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE:       "CKR_ENCRYPTED_DATA_LEN_RANGE",
	cryptoki.CKR_FUNCTION_NOT_SUPPORTED:         "CKR_FUNCTION_NOT_SUPPORTED",
	cryptoki.CKR_KEY_SIZE_RANGE:                 "CKR_KEY_SIZE_RANGE",
	cryptoki.CKR_KEY_TYPE_INCONSISTENT:          "CKR_KEY_TYPE_INCONSISTENT",
	cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED:     "CKR_KEY_FUNCTION_NOT_PERMITTED",
	cryptoki.CKR_MECHANISM_INVALID:              "CKR_MECHANISM_INVALID",
	cryptoki.CKR_MECHANISM_PARAM_INVALID:        "CKR_MECHANISM_PARAM_INVALID",
	cryptoki.CKR_PIN_INCORRECT:                  "CKR_PIN_INCORRECT",
	cryptoki.CKR_PIN_INVALID:                    "CKR_PIN_INVALID",
	cryptoki.CKR_PIN_LEN_RANGE:                  "CKR_PIN_LEN_RANGE",
	cryptoki.CKR_PIN_EXPIRED:                    "CKR_PIN_EXPIRED",
	cryptoki.CKR_PIN_LOCKED:                     "CKR_PIN_LOCKED",
	cryptoki.CKR_SESSION_READ_ONLY:              "CKR_SESSION_READ_ONLY",
	cryptoki.CKR_TEMPLATE_INCOMPLETE:            "CKR_TEMPLATE_INCOMPLETE",
	cryptoki.CKR_TEMPLATE_INCONSISTENT:          "CKR_TEMPLATE_INCONSISTENT",
	cryptoki.CKR_TOKEN_WRITE_PROTECTED:          "CKR_TOKEN_WRITE_PROTECTED",
	cryptoki.CKR_USER_PIN_NOT_INITIALIZED:       "CKR_USER_PIN_NOT_INITIALIZED",
	cryptoki.CKR_USER_TYPE_INVALID:              "CKR_USER_TYPE_INVALID",
	cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
	cryptoki.CKR_USER_TOO_MANY_TYPES:            "CKR_USER_TOO_MANY_TYPES",
	cryptoki.CKR_DOMAIN_PARAMS_INVALID:          "CKR_DOMAIN_PARAMS_INVALID",
	cryptoki.CKR_CURVE_NOT_SUPPORTED:            "CKR_CURVE_NOT_SUPPORTED",
}

// passing has the errors after which a new session may succeed, or the token
// when it is back. An unknown error is treated the same.
var passing = map[returned]string{
	cryptoki.CKR_HOST_MEMORY:                  "CKR_HOST_MEMORY",
	cryptoki.CKR_SLOT_ID_INVALID:              "CKR_SLOT_ID_INVALID",
	cryptoki.CKR_GENERAL_ERROR:                "CKR_GENERAL_ERROR",
	cryptoki.CKR_FUNCTION_FAILED:              "CKR_FUNCTION_FAILED",
	cryptoki.CKR_DEVICE_ERROR:                 "CKR_DEVICE_ERROR",
	cryptoki.CKR_DEVICE_MEMORY:                "CKR_DEVICE_MEMORY",
	cryptoki.CKR_DEVICE_REMOVED:               "CKR_DEVICE_REMOVED",
	cryptoki.CKR_FUNCTION_CANCELED:            "CKR_FUNCTION_CANCELED",
	cryptoki.CKR_KEY_HANDLE_INVALID:           "CKR_KEY_HANDLE_INVALID",
	cryptoki.CKR_OBJECT_HANDLE_INVALID:        "CKR_OBJECT_HANDLE_INVALID",
	cryptoki.CKR_OPERATION_ACTIVE:             "CKR_OPERATION_ACTIVE",
	cryptoki.CKR_OPERATION_NOT_INITIALIZED:    "CKR_OPERATION_NOT_INITIALIZED",
	cryptoki.CKR_SESSION_CLOSED:               "CKR_SESSION_CLOSED",
	cryptoki.CKR_SESSION_COUNT:                "CKR_SESSION_COUNT",
	cryptoki.CKR_SESSION_HANDLE_INVALID:       "CKR_SESSION_HANDLE_INVALID",
	cryptoki.CKR_TOKEN_NOT_PRESENT:            "CKR_TOKEN_NOT_PRESENT",
	cryptoki.CKR_TOKEN_NOT_RECOGNIZED:         "CKR_TOKEN_NOT_RECOGNIZED",
	cryptoki.CKR_USER_NOT_LOGGED_IN:           "CKR_USER_NOT_LOGGED_IN",
	cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED:     "CKR_CRYPTOKI_NOT_INITIALIZED",
	cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
}

// failed returns the error of a function of the library.
func failed(op string, err error) error {
	var r returned
	if !errors.As(err, &r) {
		return problem(op, signer.Malformed, "%w", err)
	}
	kind := signer.Unavailable
	if _, ok := lasting[r]; ok {
		kind = signer.Refused
	}
	return &signer.Error{Service: service, Op: op, Kind: kind, Code: r.name(), Err: r}
}

// problem returns an error that this package detected, not the library.
func problem(op string, kind signer.Kind, format string, values ...any) error {
	return &signer.Error{Service: service, Op: op, Kind: kind, Err: fmt.Errorf(format, values...)}
}

// lost marks an error after which a new session may do better.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// plain returns err without the mark, for callers that cannot open a session.
func plain(err error) error {
	if l, ok := err.(lost); ok {
		return l.error
	}
	return err
}

// also adds why, the error of a failed recovery or cleanup, to err. It returns err
// itself if why is nil.
func also(err, why error) error {
	var e *signer.Error
	if why == nil || !errors.As(err, &e) {
		return err
	}
	both := *e
	both.Err = fmt.Errorf("%w; %v", e.Err, why)
	return &both
}

// isLost reports whether a new session may do better.
func isLost(err error) bool {
	var l lost
	var r returned
	switch {
	case errors.As(err, &l):
		return true
	case errors.As(err, &r):
		switch r {
		case cryptoki.CKR_SESSION_COUNT: // there are too many already
			return false
		case cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED:
			return true // the handle may have become another object's
		}
		_, refused := lasting[r]
		return !refused
	}
	return false
}

// sessionGone reports whether the session of an error must not be closed. Its
// handle may already belong to another caller.
func sessionGone(err error) bool {
	var r returned
	errors.As(err, &r)
	switch r {
	case cryptoki.CKR_SESSION_CLOSED, cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED,
		cryptoki.CKR_DEVICE_REMOVED, cryptoki.CKR_TOKEN_NOT_PRESENT:
		return true
	}
	return false
}
