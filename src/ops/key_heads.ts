/**
 * Which key head an attention head reads (attention.ts).
 */

/** The key head, below G, of head h of H. @param key_heads [H], or null where neighbours share one */
export function keyHeadOf(key_heads: Int32Array | null, h: number, G: number, H: number): number {
  return key_heads ? key_heads[h] : Math.floor((h * G) / H)
}
