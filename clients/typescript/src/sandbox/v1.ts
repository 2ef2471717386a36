/**
 * `switchboard.sandbox.v1`: controls the fake providers of `switchboard sandbox`. For tests.
 *
 * @module
 */
export * from "../gen/switchboard/sandbox/v1/sandbox_service_pb.js";
