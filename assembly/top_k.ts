/**
 * top_k: the R highest of N scores as an ascending list; ties go to the lower index, NaN ranks below everything.
 *
 * Scores become unsigned keys in the same order (equal scores, equal keys). A radix search, a byte at a time from the
 * top, finds the key of the R-th highest and how many of its equals are in; one pass then writes the list.
 */
import { bytes } from './float32'
import { byteCounts } from './scratch'

/** A score as an unsigned number: order-preserving, both zeros alike, NaN 0. */
function keyOf(scores: usize, n: i32): u32 {
  const score = load<f32>(scores + bytes(n))
  if (score != score) return 0
  const bits = reinterpret<u32>(score + 0) // -0 becomes +0
  return bits >> 31 ? ~bits : bits | 0x80000000
}

export function top_k(
  indices: usize, // [R] i32
  scores: usize, // [N]
  N: i32,
  R: i32,
): void {
  if (R == 0) return
  const counts = byteCounts()
  let threshold: u32 = 0 // the bytes of the R-th highest key found so far
  let equals: i32 = R // how many keys with those bytes are in
  for (let shift: u32 = 24; ; shift -= 8) {
    countByte(scores, N, threshold, shift)
    let byte: u32 = 255
    let count = load<i32>(counts + (byte << 2))
    while (count < equals) {
      equals -= count
      byte--
      count = load<i32>(counts + (byte << 2))
    }
    threshold |= byte << shift
    if (shift == 0) break
  }
  let to = indices
  for (let n = 0; n < N; n++) {
    const key = keyOf(scores, n)
    if (key < threshold || (key == threshold && equals-- <= 0)) continue
    store<i32>(to, n)
    to += 4
  }
}

/** Counts the byte at `shift` over the keys whose higher bytes are those of `threshold`. */
function countByte(scores: usize, N: i32, threshold: u32, shift: u32): void {
  const counts = byteCounts()
  memory.fill(counts, 0, 1024)
  for (let n = 0; n < N; n++) {
    const key = keyOf(scores, n)
    if (<u64>(key ^ threshold) >> (shift + 8)) continue
    const at = counts + (((key >> shift) & 255) << 2)
    store<i32>(at, load<i32>(at) + 1)
  }
}
