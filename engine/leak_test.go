package engine

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever a test starts has ended when the package's tests have.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
