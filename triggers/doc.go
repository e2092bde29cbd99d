// Package triggers is where webhooks come in: one endpoint, and one file per
// platform that knows how its sender signs and what its bodies mean.
//
// # A delivery
//
// [Endpoint] finds the source by the path, reads a bounded body, lets the
// source's Platform verify the raw bytes, and only then has it decoded into
// events. Nothing is parsed before the signature fits, and the parser is the
// one of the source's platform, whatever the request says its type is. The
// events go to EndpointOptions.Accept; the sender gets its 200 when that has
// returned. What is refused goes to EndpointOptions.Refused with a reason for
// the admin that the sender never sees.
//
// # A platform
//
// A platform is one function that returns an [engine.PlatformKind]; [Builtin]
// lists them all. New makes the verifier of one source, Sign makes a delivery
// as the real sender would, so that the suite can try every platform on its
// samples (samples/PLATFORM), its signed vectors (vectors.json) and
// the bad cases derived from both. A kind without samples fails the suite.
//
// JSON bodies are read through parseJSON (json.go), which refuses whatever two
// readers could understand differently.
package triggers
