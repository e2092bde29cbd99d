// Package secrets plants secrets everywhere a server takes one, has it send
// them to targets that hand them back in every way they can, and looks for them
// in all that the server leaves behind: logs, database, answers, dumps.
package secrets
