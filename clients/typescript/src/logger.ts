/**
 * Receives the client's log: retries of calls as information, and reconnects of event streams as warnings. `console` is
 * such a logger.
 *
 * `details` contains methods, ids, delays and the texts of errors. It never contains the text of a message.
 */
export interface Logger {
  info(message: string, details: Readonly<Record<string, unknown>>): void;
  warn(message: string, details: Readonly<Record<string, unknown>>): void;
}
