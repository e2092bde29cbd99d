// Package pressure gives a real gavel more than it can take (deliveries, large
// bodies, connections of strangers, too little memory, too few descriptors) and
// looks that it refuses in time instead of growing, and gets over it.
package pressure
