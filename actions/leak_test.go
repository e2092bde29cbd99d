package actions

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever a test starts has ended when the package's tests have.
func TestMain(m *testing.M) {
	// slack-go's test server sends every message to websockets, and waits for one.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/slack-go/slack/slacktest.(*Server).queueForWebsocket"))
}
