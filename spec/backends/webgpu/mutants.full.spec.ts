/**
 * Bugs planted in the exact WGSL kernels: each is found by a law of its op.
 */
import { narrowsToBf16 } from '../../../src/verify/ops/stored_weights.ts'
import { statePlants } from './planting.ts'

statePlants({
  'the lanes of a sum combined in another order': {
    op: 'linear',
    in: 'library',
    from: 'add(add(a, c), add(b, d))',
    to: 'add(add(a, b), add(c, d))',
  },
  'the last terms of a sum added to its first lane': {
    op: 'linear',
    from: 'let sum_whole = p.I - p.I % 16;',
    to: 'let sum_whole = p.I;',
  },
  'sums whose last term is left out': { op: 'linear', from: 'i < p.I; i++', to: 'i < p.I - 1; i++' },
  'terms added from the second one on': {
    op: 'linear_input_major',
    from: 'for (var r = 0; r < p.R; r++)',
    to: 'for (var r = min(1, p.R - 1); r < p.R; r++)',
  },
  'a bias that is not added': {
    op: 'linear_input_major',
    from: 'if (has_bias)',
    to: 'if (has_bias && p.T < 0)',
  },
  'rows that are not chosen keep what was there': {
    op: 'linear',
    from: 'if (!chosen) { set_y(n, 0); return; }',
    to: 'if (!chosen) { return; }',
  },
  'a coefficient of exp that is off by one unit': {
    op: 'exp',
    in: 'library',
    from: '5.0000001201e-1',
    to: '5.0000007201e-1',
  },
  'rounding that a compiler takes away': {
    op: 'exp',
    in: 'library',
    from: 'fn add_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a + b)); }',
    to: 'fn add_normal(a: f32, b: f32) -> f32 { return a + b; }',
  },
  'a quotient that is cut': {
    op: 'softmax',
    in: 'library',
    from: 'cut > half || (cut == half && (has_rest || (kept & 1u) == 1u))',
    to: 'cut > half + half',
  },
  'a root of twice the number': {
    op: 'rms_norm',
    in: 'library',
    from: '/ 2 + 12',
    to: '/ 2 + 13',
  },
  'NaN that is no NaN': {
    op: 'relu',
    in: 'library',
    from: '(bits_of(x) & 0x7fffffffu) > INFINITE',
    to: '(bits_of(x) & 0x7fffffffu) > 0x7fffffffu',
  },
  'ties of bf16 always up': {
    op: 'narrow_bf16',
    in: 'library',
    from: '(single + 0x7fffu + (high & 1u))',
    to: '(single + 0x8000u)',
    law: narrowsToBf16,
  },
  'subnormal f16 that is off by one': {
    op: 'embedding_f16',
    in: 'library',
    from: '5.9604644775390625e-8',
    to: '1.1920928955078125e-7',
  },
  'bytes without their sign': { op: 'embedding_i8', from: 'f32(table(row', to: 'f32(255 & table(row' },
  'levels that overflow': {
    op: 'linear_i8',
    in: 'library',
    from: 'min(32767, 2147483647',
    to: 'max(32767, 2147483647',
  },
  'nibbles in the other order': {
    op: 'linear_i4',
    from: 'bits_scratch(at + 2 + j)',
    to: 'bits_scratch(at + 5 - j)',
  },
  'a minimum that is not added': {
    op: 'linear_i4',
    in: 'library',
    from: 'mul(minimum, sum)',
    to: 'mul(0.0, sum)',
  },
  'inputs of another block': {
    op: 'linear_input_major_i4',
    from: 'if (blocks(i) != b) { continue; }',
    to: '',
  },
  'a query that sees one position less': {
    op: 'attention',
    from: 'let end = p.S - p.T + t + 1;',
    to: 'let end = max(1, p.S - p.T + t);',
  },
  'a window that is one position longer': { op: 'attention', from: 'min(end, p.W)', to: 'min(end, p.W + 1)' },
  'a list of key heads that is not read': {
    op: 'attention',
    from: 'if (has_key_heads)',
    to: 'if (has_key_heads && p.T < 0)',
  },
  'blocks of values that begin where the window does': {
    op: 'attention_i8',
    from: '(start + first) %',
    to: 'first %',
  },
  'heads of a group whose gradients are added last to first': {
    op: 'attention_backward',
    from: 'u32(p.first + i) * u32(p.G) / u32(p.H)) != of_head',
    to: 'u32(p.first + p.many - 1 - i) * u32(p.G) / u32(p.H)) != of_head',
  },
  'gradients of capped scores without their slopes': {
    op: 'attention_backward',
    from: 'if (is_positive(p.cap))',
    to: 'if (is_positive(p.cap) && p.T < 0)',
  },
  'one tie too many': { op: 'top_k', from: 'left -= taken;', to: '' },
  'the first of the rows of one slot in it': {
    op: 'copy_rows',
    from: 'var i = n + 1; i < p.R; i++',
    to: 'var i = 0; i < n; i++',
  },
  'parts of a pair that turn the same way': {
    op: 'rotary',
    from: 'sub(mul(one, cosine)',
    to: 'add(mul(one, cosine)',
  },
  'a cache that is written one position too early': {
    op: 'cache_append',
    from: 'h * p.C + p.P + t',
    to: 'h * p.C + max(0, p.P - 1) + t',
  },
})
