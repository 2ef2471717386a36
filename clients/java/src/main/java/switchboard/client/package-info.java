/**
 * The Java client library of Switchboard: a connection, decoded failures, safe retries, and event streams that survive
 * restarts of the server.
 *
 * <p>The calls are the generated stubs of {@code switchboard.v1}. Start with
 * {@link switchboard.client.SwitchboardClient}.
 */
package switchboard.client;
