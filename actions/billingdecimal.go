package actions

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// The numbers of the ledger are math/big.Rat: exact, whatever their length. A
// fixed-precision decimal does not do here: an odd number of bytes ÷ 1048576 has
// 20 decimals, one more than govalues/decimal holds. It serves the tests as
// second opinion.

// decimalText is all that is taken as a number: no exponent, which would make
// a short text a huge number, no fraction, no underscores.
var decimalText = regexp.MustCompile(`^[0-9]{1,30}(\.[0-9]{1,30})?$`)

// parseDecimal reads what rules and payloads say.
func parseDecimal(name, text string) (*big.Rat, error) {
	if strings.HasPrefix(text, "-") {
		return nil, fmt.Errorf("%s is %s: it cannot be negative", name, excerpt([]byte(text)))
	}
	if len(text) > 30 && keptText.MatchString(text) && !decimalText.MatchString(text) {
		return nil, fmt.Errorf("%s is %q: it has more than 30 digits before or behind the point", name, excerpt([]byte(text)))
	}
	if !decimalText.MatchString(text) {
		return nil, fmt.Errorf("%s is %q: not a plain decimal such as 72 or 0.5", name, excerpt([]byte(text)))
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%s is %q: not a number", name, text) // not reached: the pattern is narrower
	}
	return r, nil
}

// keptText is what the ledger itself has written: sums can be negative and long,
// and so is what a per has divided.
var keptText = regexp.MustCompile(`^-?[0-9]{1,100}(\.[0-9]{1,100})?$`)

// inLedger reads a decimal of the ledger; "" is 0.
func inLedger(name, text string) (*big.Rat, error) {
	if text == "" {
		return new(big.Rat), nil
	}
	r, ok := new(big.Rat), keptText.MatchString(text)
	if ok {
		_, ok = r.SetString(text)
	}
	if !ok {
		return nil, fmt.Errorf("%s of the ledger is %q: not a decimal", name, excerpt([]byte(text)))
	}
	return r, nil
}

// asText prints what is made of decimals by adding and multiplying, and so is
// one, without a needless zero.
func asText(r *big.Rat) string {
	digits, _ := r.FloatPrec()
	return r.FloatString(digits)
}

// round makes r ≥ 0 whole: up (any rest counts), half_up (a half counts), or
// half_even (a half goes to the even neighbour).
func round(r *big.Rat, mode string) *big.Int {
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	half := rest.Lsh(rest, 1).Cmp(r.Denom())
	one := big.NewInt(1)
	switch mode {
	case "up":
		if rest.Sign() > 0 {
			whole.Add(whole, one)
		}
	case "half_even":
		if half > 0 || half == 0 && whole.Bit(0) == 1 {
			whole.Add(whole, one)
		}
	default: // half_up
		if half >= 0 {
			whole.Add(whole, one)
		}
	}
	return whole
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// minorText prints minor units as an amount: 29 with exponent 2 is 0.29.
func minorText(n int64, exponent int) string { return pointed(strconv.FormatInt(n, 10), exponent) }

// pointed puts the point into the digits of an amount.
func pointed(digits string, exponent int) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if exponent <= 0 {
		return sign + digits
	}
	if missing := exponent + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - exponent
	return sign + digits[:point] + "." + digits[point:]
}
