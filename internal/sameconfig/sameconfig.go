// Package sameconfig compares the configurations of two Exchangers.
package sameconfig

import "reflect"

// Equal reports whether the exported fields of two structs of one type are equal.
// An interface, such as a transport, is equal to itself only. A function is equal
// to none but nil: the caller clears those that do not matter. In doubt, Equal
// reports false.
func Equal[T any](a, b T) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for field := range reflect.TypeFor[T]().Fields() {
		i := field.Index[0]
		if !equal(x.Field(i), y.Field(i)) {
			return false
		}
	}
	return true
}

func equal(x, y reflect.Value) bool {
	switch x.Kind() {
	case reflect.Interface, reflect.Pointer:
		// The values behind them may be in use, so they are not read.
		return x.Comparable() && y.Comparable() && x.Equal(y)
	default:
		return reflect.DeepEqual(x.Interface(), y.Interface())
	}
}
