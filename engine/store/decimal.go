package store

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// sum adds two decimals as the ledger writes them, "" for none. What is billed,
// and for how much, is computed by the action. This is only for the month totals
// that entries of older versions do not have, and to see whether the others are
// right.
func sum(x, y string) (string, error) {
	if n, err := strconv.Atoi(x); err == nil && n < maxInt && n > -maxInt { // most are small and whole
		if m, err := strconv.Atoi(y); err == nil && m < maxInt && m > -maxInt {
			return strconv.Itoa(n + m), nil
		}
	}
	a, scaleA, err := unscaled(x)
	if err != nil {
		return "", err
	}
	b, scaleB, err := unscaled(y)
	if err != nil {
		return "", err
	}
	scale := max(scaleA, scaleB)
	a.Mul(a, pow10(scale-scaleA))
	b.Mul(b, pow10(scale-scaleB))
	return pointed(a.Add(a, b), scale), nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// maxDigits bounds what a decimal may have before and behind its point.
const maxDigits = 100

// unscaled is a decimal without its point, and how many digits were behind it.
func unscaled(text string) (*big.Int, int, error) {
	if text == "" {
		return new(big.Int), 0, nil
	}
	whole, behind, pointed := strings.Cut(text, ".")
	digits := strings.TrimPrefix(whole, "-") + behind
	n, ok := new(big.Int).SetString(whole+behind, 10)
	if !ok || len(digits) > maxDigits || whole == "" || whole == "-" || pointed && behind == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, 0, fmt.Errorf("%q is not a decimal", text[:min(len(text), 40)])
	}
	return n, len(behind), nil
}

// pointed writes n with scale digits behind the point, without needless zeros.
func pointed(n *big.Int, scale int) string {
	digits, sign := n.Text(10), ""
	if strings.HasPrefix(digits, "-") {
		digits, sign = digits[1:], "-"
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, behind := digits[:len(digits)-scale], strings.TrimRight(digits[len(digits)-scale:], "0")
	if behind == "" {
		return sign + whole
	}
	return sign + whole + "." + behind
}
