/**
 * Makes the base URL of a server's address, and refuses what would show a token to the network.
 *
 * No error here repeats what was given: an address may hold a password.
 */
export function baseUrl(address: string, token: string | undefined, tls: boolean): string {
  const schemeless = !address.includes("://");
  let url: URL;
  try {
    url = new URL(schemeless ? `https://${address}` : address);
  } catch {
    throw new TypeError("the address must be `host:port` or an http or https URL");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new TypeError("the address must be `host:port` or an http or https URL");
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError("the address must be without user, password, query and fragment");
  }
  if (schemeless && !tls && isLoopback(url.hostname)) {
    // Parsed anew: each scheme has a default port of its own.
    url = new URL(`http://${address}`);
  }
  if (tls && url.protocol === "http:") {
    throw new TypeError("an http address has no TLS: use an https address");
  }
  if (token !== undefined) {
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw new TypeError("the token must be printable ASCII without blanks, and not empty");
    }
    if (url.protocol === "http:" && !isLoopback(url.hostname)) {
      throw new TypeError("a token is not sent in plaintext beyond loopback: use an https address");
    }
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** Whether a host, as `URL` writes it, is this machine whatever a name server says. */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
