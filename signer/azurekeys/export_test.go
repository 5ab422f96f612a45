package azurekeys

var (
	ErrorCodes  = errorCodes
	MaxAnswer   = maxAnswer
	ParseSealed = func(b []byte) ([]byte, error) {
		s, err := parseSealed(b)
		return s.append(nil), err
	}
	ParseKeyID = func(text string) (string, error) {
		id, err := parseKeyID(text)
		return id.String(), err
	}
)
