/**
 * What memory gives: loops that do nothing with what they read but add it up. Compiled by bench/streams.ts, and no part
 * of the module (assembly/index.ts).
 */

function total(a: v128, b: v128, c: v128, d: v128): f32 {
  const v = f32x4.add(f32x4.add(a, b), f32x4.add(c, d))
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3)
  )
}

/** Reads `size` bytes, a multiple of 64, strictly forward. */
export function readForward(from: usize, size: usize): f32 {
  const end = from + size
  let a = f32x4.splat(0)
  let b = f32x4.splat(0)
  let c = f32x4.splat(0)
  let d = f32x4.splat(0)
  while (from < end) {
    a = f32x4.add(a, v128.load(from))
    b = f32x4.add(b, v128.load(from, 16))
    c = f32x4.add(c, v128.load(from, 32))
    d = f32x4.add(d, v128.load(from, 48))
    from += 64
  }
  return total(a, b, c, d)
}

/** Reads `size` bytes, a multiple of 320, as five fifths side by side: of 1 to 8 streams five read fastest. */
export function readFiveStreams(first: usize, size: usize): f32 {
  const fifth = size / 5
  const end = first + fifth
  let second = end
  let third = second + fifth
  let fourth = third + fifth
  let last = fourth + fifth
  let a = f32x4.splat(0)
  let b = f32x4.splat(0)
  let c = f32x4.splat(0)
  let d = f32x4.splat(0)
  let e = f32x4.splat(0)
  while (first < end) {
    a = f32x4.add(a, v128.load(first))
    b = f32x4.add(b, v128.load(second))
    c = f32x4.add(c, v128.load(third))
    d = f32x4.add(d, v128.load(fourth))
    e = f32x4.add(e, v128.load(last))
    first += 16
    second += 16
    third += 16
    fourth += 16
    last += 16
  }
  return total(a, b, c, f32x4.add(d, e))
}

/** Copies the first half of `size` bytes onto the second: the engine's own memory copy. */
export function copyHalf(from: usize, size: usize): void {
  memory.copy(from + (size >> 1), from, size >> 1)
}
