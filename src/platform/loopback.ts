/**
 * Names of this machine that nobody else can reach.
 */

/** Whether a host is this machine, reached from nowhere else. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/i.test(host)
}
