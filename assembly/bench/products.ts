/**
 * What whole numbers of eight bits cost: the inner loops of a product of many tokens by rows of weights, on data in a cache.
 * Compiled by bench/products.ts, and no part of the module (assembly/index.ts).
 *
 * Each function multiplies R rows by T tokens of I numbers, a multiple of 16, and writes all sums. Its tile is the best of
 * those that fit the registers. R and T are multiples of 2 and of 12.
 */

/** Weights widened as they are read, by int16 activations: two rows by four tokens. */
export function wide(sums: usize, weight: usize, q: usize, R: i32, T: i32, I: i32): void {
  for (let r = 0; r < R; r += 2)
    for (let t = 0; t < T; t += 4) {
      let w = weight + <usize>(r * I)
      let x = q + ((<usize>(t * I)) << 1)
      let a0 = i32x4.splat(0)
      let a1 = i32x4.splat(0)
      let a2 = i32x4.splat(0)
      let a3 = i32x4.splat(0)
      let b0 = i32x4.splat(0)
      let b1 = i32x4.splat(0)
      let b2 = i32x4.splat(0)
      let b3 = i32x4.splat(0)
      for (const end = w + <usize>I; w < end; w += 8, x += 16) {
        const a = v128.load8x8_s(w)
        const b = v128.load8x8_s(w + <usize>I)
        let four = v128.load(x)
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(a, four))
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(b, four))
        four = v128.load(x + ((<usize>I) << 1))
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(a, four))
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(b, four))
        four = v128.load(x + ((<usize>I) << 2))
        a2 = i32x4.add(a2, i32x4.dot_i16x8_s(a, four))
        b2 = i32x4.add(b2, i32x4.dot_i16x8_s(b, four))
        four = v128.load(x + <usize>(6 * I))
        a3 = i32x4.add(a3, i32x4.dot_i16x8_s(a, four))
        b3 = i32x4.add(b3, i32x4.dot_i16x8_s(b, four))
      }
      put(sums, r, t, T, a0)
      put(sums, r, t + 1, T, a1)
      put(sums, r, t + 2, T, a2)
      put(sums, r, t + 3, T, a3)
      put(sums, r + 1, t, T, b0)
      put(sums, r + 1, t + 1, T, b1)
      put(sums, r + 1, t + 2, T, b2)
      put(sums, r + 1, t + 3, T, b3)
    }
}

/** Activations in two planes of seven bits, [T, 2, I], the upper first: two rows by three tokens. */
export function planes(sums: usize, weight: usize, q: usize, R: i32, T: i32, I: i32): void {
  for (let r = 0; r < R; r += 2)
    for (let t = 0; t < T; t += 3) {
      sixSums(tile(), weight + <usize>(r * I), q + ((<usize>(t * I)) << 1), I)
      for (let row = 0; row < 2; row++)
        for (let token = 0; token < 3; token++) {
          const upper = tile() + <usize>(row * 6 + token * 2) * 16
          const both = i32x4.add(i32x4.shl(v128.load(upper), 7), v128.load(upper, 16))
          put(sums, r + row, t + token, T, both)
        }
    }
}

/** Activations of seven bits: two rows by six tokens. */
export function single(sums: usize, weight: usize, q: usize, R: i32, T: i32, I: i32): void {
  for (let r = 0; r < R; r += 2)
    for (let t = 0; t < T; t += 6) {
      sixSums(tile(), weight + <usize>(r * I), q + <usize>(t * I), I)
      for (let row = 0; row < 2; row++)
        for (let token = 0; token < 6; token++)
          put(sums, r + row, t + token, T, v128.load(tile() + <usize>(row * 6 + token) * 16))
    }
}

/** Sums of two rows by six rows of bytes below 128, [2, 6], a lane for every fourth number. */
function sixSums(to: usize, w: usize, x: usize, I: i32): void {
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let a4 = i32x4.splat(0)
  let a5 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  let b4 = i32x4.splat(0)
  let b5 = i32x4.splat(0)
  for (const end = w + <usize>I; w < end; w += 16, x += 16) {
    const a = v128.load(w)
    const b = v128.load(w + <usize>I)
    let six = v128.load(x)
    a0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a0)
    b0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b0)
    six = v128.load(x + <usize>I)
    a1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a1)
    b1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b1)
    six = v128.load(x + ((<usize>I) << 1))
    a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a2)
    b2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b2)
    six = v128.load(x + <usize>(3 * I))
    a3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a3)
    b3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b3)
    six = v128.load(x + ((<usize>I) << 2))
    a4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a4)
    b4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b4)
    six = v128.load(x + <usize>(5 * I))
    a5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, six, a5)
    b5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(b, six, b5)
  }
  v128.store(to, a0)
  v128.store(to, a1, 16)
  v128.store(to, a2, 32)
  v128.store(to, a3, 48)
  v128.store(to, a4, 64)
  v128.store(to, a5, 80)
  v128.store(to, b0, 96)
  v128.store(to, b1, 112)
  v128.store(to, b2, 128)
  v128.store(to, b3, 144)
  v128.store(to, b4, 160)
  v128.store(to, b5, 176)
}

/** Where a tile of sums lies, [2, 6, 4]. */
function tile(): usize {
  return 64
}

function put(sums: usize, r: i32, t: i32, T: i32, four: v128): void {
  const two = i32x4.add(four, v128.shuffle<i32>(four, four, 2, 3, 0, 1))
  store<i32>(sums + ((<usize>(r * T + t)) << 2), i32x4.extract_lane(two, 0) + i32x4.extract_lane(two, 1))
}
