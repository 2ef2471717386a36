/**
 * Returns the base URL of a server's address, and rejects an address that would send a token in plaintext over the
 * network.
 *
 * Errors never repeat the given address, because it may contain a password.
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
    throw new TypeError("the address must not contain a user, password, query or fragment");
  }
  if (schemeless && !tls && isLoopback(url.hostname)) {
    // Parse again, because the default port depends on the scheme.
    url = new URL(`http://${address}`);
  }
  if (tls && url.protocol === "http:") {
    throw new TypeError("TLS options require an https address");
  }
  if (token !== undefined) {
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw new TypeError("the token must be non-empty, printable ASCII without spaces");
    }
    if (url.protocol === "http:" && !isLoopback(url.hostname)) {
      throw new TypeError("a token cannot be sent in plaintext beyond loopback: use an https address");
    }
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** Whether a hostname, as `URL` writes it, denotes this machine without a name lookup. */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
