package tokenhttp

// CheckPeer is for a test that no name server can be made to serve.
var CheckPeer = checkPeer
