/**
 * The float contract in WGSL: each operation is rounded on its own, to the nearest, ties to even. exp32, tanh32 and log32 are those
 * of src/ops/float32.ts, step by step.
 *
 * WGSL lets a driver fuse a product with a sum, take (x + a) - a for x, assume that there is no NaN, and be off by a few units in a quotient or a root. So each
 * result passes through an exclusive or with a zero that the compiler does not know, NaN, signs and the larger of two are read from
 * bits, and quotients and roots are corrected by whole numbers, which are exact everywhere. A driver that takes subnormal numbers
 * for 0 has them computed in whole numbers too.
 */

/** Sums and products as the adapter rounds them; those of fast kernels, fused4 and add4 for four tokens, may be fused. */
const rounded = /* wgsl */ `
fn add(a: f32, b: f32) -> f32 { return add_normal(a, b); }
fn sub(a: f32, b: f32) -> f32 { return sub_normal(a, b); }
fn mul(a: f32, b: f32) -> f32 { return mul_normal(a, b); }
fn fused(a: f32, b: f32, c: f32) -> f32 { return fma(a, b, c); }
fn fused4(a: vec4f, b: f32, c: vec4f) -> vec4f { return fma(a, vec4f(b), c); }
fn add4(a: vec4f, b: vec4f) -> vec4f { return a + b; }
`

/** The same where a subnormal number, given or found, is taken for 0: the adapter never sees one. */
const withoutSubnormals = /* wgsl */ `
/** x 2^126, of a number below 2^-100. */
fn enlarged(x: f32) -> f32 {
  let size = bits_of(x) & 0x7fffffffu;
  if (size >= 0x800000u) { return of_bits(bits_of(x) + 0x3f000000u); }
  return of_bits((bits_of(x) & 0x80000000u) | bits_of(f32(size) * 1.1920928955078125e-7));
}

/** Subnormal numbers change no sum with a number from 2^-100 on. Below, the sum is exact where it is subnormal. */
fn add(a: f32, b: f32) -> f32 {
  if (max(bits_of(a) & 0x7fffffffu, bits_of(b) & 0x7fffffffu) >= 0xd800000u) { return add_normal(a, b); }
  let sum = bits_of(enlarged(a) + enlarged(b));
  let size = sum & 0x7fffffffu;
  if (size >= 0x3f800000u) { return of_bits(sum - 0x3f000000u); }
  return of_bits((sum & 0x80000000u) | u32(of_bits(size) * 8388608.0));
}

fn sub(a: f32, b: f32) -> f32 { return add(a, minus(b)); }

fn mul(a: f32, b: f32) -> f32 {
  let x = bits_of(a) & 0x7fffffffu;
  let y = bits_of(b) & 0x7fffffffu;
  if (min(x, y) == 0u || (min(x, y) >= 0x800000u && x + y >= 0x40800000u)) { return mul_normal(a, b); }
  // No factor is 0, and one of them or the product may be subnormal.
  if (max(x, y) > INFINITE) { return nan(); }
  let sign = (bits_of(a) ^ bits_of(b)) & 0x80000000u;
  if (max(x, y) == INFINITE) { return of_bits(sign | INFINITE); }
  let m = parts_of(x);
  let n = parts_of(y);
  // The product of two numbers of 24 bits, from halves of 12 bits: its upper 24 bits or 23, and the 24 below.
  let cross = (m.fraction >> 12u) * (n.fraction & 0xfffu) + (m.fraction & 0xfffu) * (n.fraction >> 12u);
  let low = (m.fraction & 0xfffu) * (n.fraction & 0xfffu) + ((cross & 0xfffu) << 12u);
  let high = (m.fraction >> 12u) * (n.fraction >> 12u) + (cross >> 12u) + (low >> 24u);
  let whole = (high << 2u) | ((low >> 22u) & 3u);
  return of_whole(sign, whole, (low & 0x3fffffu) != 0u, m.exponent + n.exponent - 24);
}

fn fused(a: f32, b: f32, c: f32) -> f32 { return add(mul(a, b), c); }
/** In loops: short text compiles fast. */
fn fused4(a: vec4f, b: f32, c: vec4f) -> vec4f {
  var sums = c;
  for (var i = 0; i < 4; i++) { sums[i] = fused(a[i], b, c[i]); }
  return sums;
}
fn add4(a: vec4f, b: vec4f) -> vec4f {
  var sums = a;
  for (var i = 0; i < 4; i++) { sums[i] = add(a[i], b[i]); }
  return sums;
}
`

/** Functions that every kernel may call. `p.zero` is 0. @param sums the functions add, sub and mul */
const library = (sums: string): string => /* wgsl */ `
const INFINITE = 0x7f800000u;
const ROUNDER = 12582912.0;
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440054690583e-4;
/** The largest float32 that times 127 is still finite. */
const LARGEST_SCALE = 2.6793883890187504e36;

fn bits_of(x: f32) -> u32 { return bitcast<u32>(x); }
fn of_bits(x: u32) -> f32 { return bitcast<f32>(x ^ p.zero); }
/** A compiler takes x + 0.0 for x, which is wrong for -0. */
fn zero() -> f32 { return of_bits(0u); }
fn nan() -> f32 { return of_bits(0x7fc00000u); }
fn infinity() -> f32 { return of_bits(INFINITE); }
fn is_nan(x: f32) -> bool { return (bits_of(x) & 0x7fffffffu) > INFINITE; }
fn size_of(x: f32) -> f32 { return of_bits(bits_of(x) & 0x7fffffffu); }
fn minus(x: f32) -> f32 { return of_bits(bits_of(x) ^ 0x80000000u); }
/** Rounded sums and products where no number is subnormal, or where the result is the same if it is taken for 0. */
fn add_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a + b)); }
fn sub_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a - b)); }
fn mul_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a * b)); }
/** A number in the order of all others, both zeros alike. */
fn order_of(x: f32) -> i32 {
  let size = i32(bits_of(x) & 0x7fffffffu);
  return select(size, -size, (bits_of(x) >> 31u) == 1u);
}
/** Whether a > b; NaN is above nothing, and nothing above it. */
fn is_above(a: f32, b: f32) -> bool { return order_of(a) > order_of(b) && !is_nan(a) && !is_nan(b); }
fn is_positive(x: f32) -> bool { return order_of(x) > 0 && !is_nan(x); }
/** The larger one; NaN if one is. */
fn larger(a: f32, b: f32) -> f32 { return select(b, a, is_nan(a) || is_above(a, b)); }

struct Parts { fraction: u32, exponent: i32 }

/** A positive number: fraction 2^(exponent - 23), the fraction from 2^23 on and below 2^24. */
fn parts_of(bits: u32) -> Parts {
  if (bits < 0x800000u) {
    let shift = countLeadingZeros(bits) - 8u;
    return Parts(bits << shift, -126 - i32(shift));
  }
  return Parts((bits & 0x7fffffu) | 0x800000u, i32(bits >> 23u) - 127);
}

/** The float32 number nearest to (q + rest) 2^scale, ties to even: q from 2^24 on and below 2^26, and a rest below 1. */
fn of_whole(sign: u32, q: u32, has_rest: bool, scale: i32) -> f32 {
  let top = 31 - i32(countLeadingZeros(q));
  let exponent = top + scale;
  if (exponent > 127) { return of_bits(sign | INFINITE); }
  let drop = u32(min(31, top - 23 + max(0, -126 - exponent)));
  let kept = q >> drop;
  let cut = q & ((1u << drop) - 1u);
  let half = 1u << (drop - 1u);
  let up = select(0u, 1u, cut > half || (cut == half && (has_rest || (kept & 1u) == 1u)));
  let base = select(0u, u32(exponent + 126) << 23u, exponent >= -126);
  return of_bits(sign | (base + kept + up));
}
${sums}
/** a / b. */
fn divide(a: f32, b: f32) -> f32 {
  let sign = (bits_of(a) ^ bits_of(b)) & 0x80000000u;
  let x = bits_of(a) & 0x7fffffffu;
  let y = bits_of(b) & 0x7fffffffu;
  if (x > INFINITE || y > INFINITE || (x == INFINITE && y == INFINITE) || (x == 0u && y == 0u)) { return nan(); }
  if (x == INFINITE || y == 0u) { return of_bits(sign | INFINITE); }
  if (x == 0u || y == INFINITE) { return of_bits(sign); }
  let m = parts_of(x);
  let n = parts_of(y);
  // The whole quotient of m 2^25 and n, from 2^24 on and below 2^26: the driver's, put right by what it leaves, modulo 2^32.
  var q = u32(f32(m.fraction) / f32(n.fraction) * 33554432.0);
  var rest = i32((m.fraction << 25u) - q * n.fraction);
  let divisor = i32(n.fraction);
  q += u32(rest / divisor);
  rest %= divisor;
  if (rest < 0) {
    q -= 1u;
    rest += divisor;
  }
  return of_whole(sign, q, rest > 0, m.exponent - n.exponent - 25);
}

/** The square root of x. */
fn root(x: f32) -> f32 {
  let bits = bits_of(x);
  if (bits == 0u || bits == 0x80000000u || bits == INFINITE) { return x; }
  if (bits > INFINITE) { return nan(); }
  let parts = parts_of(bits);
  let shift = 1u + u32(parts.exponent & 1);
  let m = parts.fraction << shift;
  // The whole number nearest to the root of m 2^22: 4 m 2^22 against the squares of 2 q + 1 and 2 q - 1, modulo 2^32.
  let square = m << 24u;
  var q = u32(sqrt(f32(m)) * 2048.0);
  loop {
    if (i32(square - (2u * q + 1u) * (2u * q + 1u)) <= 0) { break; }
    q += 1u;
  }
  loop {
    if (i32(square - (2u * q - 1u) * (2u * q - 1u)) >= 0) { break; }
    q -= 1u;
  }
  let exponent = (parts.exponent - 23 - i32(shift)) / 2 + 12;
  return of_bits((u32(exponent + 126) << 23u) + q);
}

fn power_of_two(n: i32) -> f32 { return of_bits(u32(n + 127) << 23u); }

/** e^x. */
fn exp32(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  if (x < -104) { return 0; }
  if (x > 89) { return infinity(); }
  let n = sub_normal(add_normal(mul_normal(x, 1.44269504088896341), ROUNDER), ROUNDER);
  let r = sub_normal(sub_normal(x, mul_normal(n, LN2_HIGH)), mul_normal(n, LN2_LOW));
  var q = 1.98756915e-4;
  q = add_normal(mul_normal(q, r), 1.3981999507e-3);
  q = add_normal(mul_normal(q, r), 8.3334519073e-3);
  q = add_normal(mul_normal(q, r), 4.1665795894e-2);
  q = add_normal(mul_normal(q, r), 1.6666665459e-1);
  q = add_normal(mul_normal(q, r), 5.0000001201e-1);
  let e = add_normal(add_normal(mul_normal(q, mul_normal(r, r)), r), 1);
  // The power in two halves: a subnormal result is rounded once, in the last product.
  let half = i32(n) >> 1u;
  return mul(mul_normal(e, power_of_two(half)), power_of_two(i32(n) - half));
}

/** tanh x. */
fn tanh32(x: f32) -> f32 {
  let size = size_of(x);
  if (size < 0.625) {
    let s = mul_normal(x, x);
    var q = -5.70498872745e-3;
    q = add_normal(mul_normal(q, s), 2.06390887954e-2);
    q = add_normal(mul_normal(q, s), -5.37397155531e-2);
    q = add_normal(mul_normal(q, s), 1.33314422036e-1);
    q = add_normal(mul_normal(q, s), -3.33332819422e-1);
    return add(mul_normal(mul_normal(q, s), x), x);
  }
  let e = exp32(mul_normal(-2, size));
  let y = divide(sub_normal(1, e), add_normal(1, e));
  return select(y, minus(y), x < 0);
}

/** ln x. */
fn log32(given: f32) -> f32 {
  if (is_nan(given) || order_of(given) < 0) { return nan(); }
  if (order_of(given) == 0) { return minus(infinity()); }
  if (bits_of(given) == INFINITE) { return given; }
  let parts = parts_of(bits_of(given));
  var exponent = parts.exponent + 1;
  var f = of_bits((parts.fraction & 0x7fffffu) | 0x3f000000u); // in [0.5, 1)
  if (f < 0.707106781186547524) {
    exponent -= 1;
    f = sub_normal(add_normal(f, f), 1);
  } else {
    f = sub_normal(f, 1);
  }
  let square = mul_normal(f, f);
  var q = 7.0376836292e-2;
  q = add_normal(mul_normal(q, f), -1.151461031e-1);
  q = add_normal(mul_normal(q, f), 1.167699874e-1);
  q = add_normal(mul_normal(q, f), -1.2420140846e-1);
  q = add_normal(mul_normal(q, f), 1.4249322787e-1);
  q = add_normal(mul_normal(q, f), -1.6668057665e-1);
  q = add_normal(mul_normal(q, f), 2.0000714765e-1);
  q = add_normal(mul_normal(q, f), -2.4999993993e-1);
  q = add_normal(mul_normal(q, f), 3.3333331174e-1);
  let shift = f32(exponent);
  var y = mul_normal(mul_normal(q, f), square);
  y = add_normal(y, mul_normal(shift, LN2_LOW));
  y = sub_normal(y, mul_normal(square, 0.5));
  return add_normal(add_normal(f, y), mul_normal(shift, LN2_HIGH));
}

/** The sixteen lanes of a striped sum, combined by the fixed tree. */
fn combine(lanes: array<f32, 16>) -> f32 {
  let l = lanes;
  let a = add(add(l[0], l[4]), add(l[8], l[12]));
  let b = add(add(l[1], l[5]), add(l[9], l[13]));
  let c = add(add(l[2], l[6]), add(l[10], l[14]));
  let d = add(add(l[3], l[7]), add(l[11], l[15]));
  return add(add(a, c), add(b, d));
}

fn widen_bf16(bits: u32) -> f32 { return of_bits(bits << 16u); }

/** Exact, without a subnormal number on the way. */
fn widen_f16(bits: u32) -> f32 {
  let sign = (bits & 0x8000u) << 16u;
  let size = bits & 0x7fffu;
  if (size >= 0x7c00u) { return of_bits(sign | INFINITE | (size << 13u)); }
  if (size >= 0x400u) { return of_bits(sign | ((size << 13u) + 0x38000000u)); }
  return of_bits(sign | bits_of(f32(size) * 5.9604644775390625e-8));
}

fn narrow_to_bf16(x: f32) -> u32 {
  let single = bits_of(x);
  let high = single >> 16u;
  if (is_nan(x)) { return select(high | 0x40u, high, (high & 0x7fu) != 0u); }
  return (single + 0x7fffu + (high & 1u)) >> 16u;
}

fn narrow_to_f16(x: f32) -> u32 {
  let sign = (bits_of(x) >> 16u) & 0x8000u;
  let size = bits_of(x) & 0x7fffffffu;
  if (size > INFINITE) {
    let payload = (size >> 13u) & 0x3ffu;
    return sign | 0x7c00u | select(0x200u, payload, payload != 0u);
  }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; }
  if (size >= 0x38800000u) {
    let rebiased = size - 0x38000000u; // 2^-14 and up: normal in both
    return sign | ((rebiased + 0xfffu + ((rebiased >> 13u) & 1u)) >> 13u);
  }
  if (size <= 0x33000000u) { return sign; } // up to half the least subnormal
  let fraction = (size & 0x7fffffu) | 0x800000u;
  let shift = 126u - (size >> 23u); // in units of 2^-24; 14 to 24
  let kept = fraction >> shift;
  let cut = fraction & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  return sign | (kept + select(0u, 1u, cut > half || (cut == half && (kept & 1u) == 1u)));
}

/** The whole number of steps nearest to x, ties to even, at most \`most\` either way; 0 for NaN. */
fn nearest_step(x: f32, step: f32, most: i32) -> i32 {
  let nearest = sub_normal(add_normal(divide(x, step), ROUNDER), ROUNDER);
  if (is_nan(nearest)) { return 0; }
  let limit = f32(most);
  if (nearest > limit) { return most; }
  if (nearest < minus(limit)) { return -most; }
  return i32(nearest);
}

/** The most steps an int16 number may be away from zero if \`count\` of them are not zero (src/ops/quantized_steps.ts). */
fn levels_for(count: i32) -> i32 {
  if (count == 0) { return 32767; }
  return min(32767, 2147483647 / (127 * count));
}

/** The scale of a row of int8 whose largest number this is. */
fn scale_of_row(largest: f32) -> f32 {
  if (!(bits_of(largest) < INFINITE)) { return nan(); }
  let scale = divide(largest, 127);
  return select(scale, LARGEST_SCALE, scale > LARGEST_SCALE);
}

/** What a block of four-bit numbers adds to an output; \`sum\` is the step times the sum of what the activations are rounded to. */
fn block_term(scale: f32, minimum: f32, step: f32, product: i32, sum: f32) -> f32 {
  return add(mul(mul(scale, step), f32(product)), mul(minimum, sum));
}

fn cap_score(score: f32, cap: f32) -> f32 {
  if (is_positive(cap)) { return mul(cap, tanh32(divide(score, cap))); }
  return score;
}

/** What a capped score gains with the score: 1 - tanh(score / cap)^2. */
fn cap_slope(score: f32, cap: f32) -> f32 {
  let u = tanh32(divide(score, cap));
  return sub_normal(1, mul_normal(u, u));
}

/** A score as an unsigned number: in the same order, both zeros alike, NaN below everything. */
fn key_of(score: f32) -> u32 {
  if (is_nan(score)) { return 0u; }
  let bits = bits_of(score);
  if (bits == 0x80000000u) { return bits; }
  return select(bits | 0x80000000u, ~bits, bits >> 31u == 1u);
}

/** 1 + e^-z */
fn denominator(z: f32) -> f32 { return add_normal(1, exp32(minus(z))); }

/** 1 + e^-2u, 2u = (a z) (1 + b z^2) */
fn gelu_denominator(z: f32) -> f32 {
  return denominator(mul(mul(1.5957691216057308, z), add_normal(1, mul_normal(0.044715, mul_normal(z, z)))));
}
`

/** On an adapter that computes with subnormal numbers. */
export const float32Wgsl: string = library(rounded)

/** On an adapter that takes them for 0. */
export const flushedFloat32Wgsl: string = library(withoutSubnormals)
