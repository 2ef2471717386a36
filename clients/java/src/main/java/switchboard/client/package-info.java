/**
 * Calls Switchboard: a connection, failures that can be read, retries that are safe, and a loop over events that
 * outlives the server's restarts.
 *
 * <p>The calls themselves are the generated stubs of {@code switchboard.v1}. Begin at {@link
 * switchboard.client.SwitchboardClient}.
 */
package switchboard.client;
