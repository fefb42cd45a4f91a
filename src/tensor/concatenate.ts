/**
 * Typed arrays one after the other.
 */

/** The numbers of all parts, in one array of type `Kind`. */
export function concatenate<Numbers extends Float32Array | Int32Array | Uint8Array>(
  Kind: new (length: number) => Numbers,
  parts: readonly ArrayLike<number>[],
): Numbers {
  const whole = new Kind(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
