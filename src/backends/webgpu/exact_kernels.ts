/**
 * The exact kernels in WGSL: each adds in the order of its definition (src/ops), so that its numbers have the same bits.
 *
 * A kernel is one or several passes over threads (shader.ts says what a pass sees); what one pass leaves in `scratch` the next one
 * reads. Sums of a row are one thread's: exact kernels share what has no order, rows, heads and outputs.
 */
import { VALUE_BLOCK } from '../../ops/attention_i8.ts'
import type { KernelName } from '../../ops/catalog.ts'
import { NOT_SCORED } from '../../ops/cross_entropy.ts'
import { BLOCK, BLOCK_BYTES, TILE } from '../../tensor/int4.ts'
import { rotaryWork, type Size } from '../launches.ts'

/** A run of a pass: how many threads it has, and which rows it is for where it is not for all. */
interface Run {
  readonly pass: string
  readonly count: number
  readonly first?: number
  readonly many?: number
}

/** A kernel. */
export interface WgslKernel {
  /** The text of each pass. */
  readonly passes: Readonly<Record<string, string>>
  /** Default: `main`, for each number of the first output. */
  readonly runs?: (of: Size) => readonly Run[]
  /** Whether a workgroup, not a thread, does each piece of work. */
  readonly isGrouped?: boolean
  /** Words of scratch; default none. */
  readonly scratch?: (of: Size) => number
}

/** Words of scratch that a kernel takes at once, about; what needs more goes through its rows in parts. */
const SCRATCH_WORDS = 2 ** 20

/** A thread for each number of the first output. */
const each = (code: string): WgslKernel => ({ passes: { main: code } })

/** A kernel of one pass with other threads. */
const single = (count: (of: Size) => number, code: string): WgslKernel => ({
  passes: { main: code },
  runs: (of) => [{ pass: 'main', count: count(of) }],
})

const product =
  (...letters: string[]) =>
  (of: Size): number =>
    letters.reduce((all, letter) => all * (Number(letter) || of(letter)), 1)

/** Passes over these letters, one after the other, with some words of scratch for each value of the first letter. */
function several(
  passes: readonly (readonly [letters: string, code: string])[],
  scratch?: (of: Size) => number,
): WgslKernel {
  return {
    passes: Object.fromEntries(passes.map(([, code], i) => [`${i}`, code])),
    runs: (of) =>
      passes.map(([letters], i) => ({
        pass: `${i}`,
        count: letters === '' ? 1 : product(...letters.split(' '))(of),
      })),
    scratch,
  }
}

/** Statements that leave the striped sum of term(i), i < length, in a variable: lane by lane, for short text compiles fast. */
function striped(name: string, length: string, term: (i: string) => string): string {
  return `
  var ${name}_lanes: array<f32, 16>;
  let ${name}_whole = ${length} - ${length} % 16;
  for (var j = 0; j < 16; j++) {
    var lane = zero();
    for (var i = j; i < ${name}_whole; i += 16) { lane = add(lane, ${term('i')}); }
    ${name}_lanes[j] = lane;
  }
  var ${name} = combine(${name}_lanes);
  for (var i = ${name}_whole; i < ${length}; i++) { ${name} = add(${name}, ${term('i')}); }`
}

/** Statements that leave the largest of term(i) in a variable; NaN is passed over. */
const largest = (name: string, length: string, term: (i: string) => string): string => `
  var ${name} = minus(infinity());
  for (var i = 0; i < ${length}; i++) {
    let one = ${term('i')};
    if (is_above(one, ${name})) { ${name} = one; }
  }`

/** Whether unit `unit` is in an ascending list, which may be absent; a statement that defines \`chosen\`. */
export const chosen = (list: string, unit: string): string => `
  var chosen = true;
  if (has_${list}) {
    var from_ = 0;
    var to_ = p.R;
    while (from_ < to_) {
      let middle = from_ + (to_ - from_) / 2;
      if (${list}(middle) < ${unit}) { from_ = middle + 1; } else { to_ = middle; }
    }
    chosen = from_ < p.R;
    if (chosen) { chosen = ${list}(from_) == ${unit}; }
  }`

/** Statements that leave the step and the levels for term(i), i < length, as int16 (src/ops/quantized_steps.ts). */
const steps = (length: string, term: (i: string) => string): string => `
  var most = 0.0;
  var count = 0;
  for (var i = 0; i < ${length}; i++) {
    let one = ${term('i')};
    most = larger(most, size_of(one));
    count += select(1, 0, (bits_of(one) & 0x7fffffffu) == 0u);
  }
  let levels = levels_for(count);
  let step = divide(most, f32(levels));`

// ---- Products -----------------------------------------------------------------------------------------------------

const embedding = each(`set_y(n, table(ids(n / p.D) * p.D + n % p.D));`)

const linear = each(
  `let o = n % p.O;${chosen('rows', 'o')}
  if (!chosen) { set_y(n, 0); return; }
  let xs = n / p.O * p.I;
  let ws = o * p.I;
  ${striped('sum', 'p.I', (i) => `mul(x(xs + ${i}), weight(ws + ${i}))`)}
  if (has_bias) { sum = add(sum, bias(o)); }
  set_y(n, sum);`,
)

const linearInputMajor = each(
  `let o = n % p.O;
  let xs = n / p.O * p.I;
  var sum = zero();
  for (var r = 0; r < p.R; r++) {
    let i = inputs(r);
    sum = add(sum, mul(x(xs + i), weight(i * p.O + o)));
  }
  if (has_bias) { sum = add(sum, bias(o)); }
  set_y(n, sum);`,
)

/** Step and numbers of each token's inputs stand in scratch: I + 2 words a token. */
const linearI8 = several(
  [
    [
      'T',
      `${steps('p.I', (i) => `x(n * p.I + ${i})`)}
      set_scratch(n * (p.I + 2), step);
      set_scratch(n * (p.I + 2) + 1, f32(levels));`,
    ],
    [
      'T I',
      `let at = n / p.I * (p.I + 2);
      set_scratch(at + 2 + n % p.I, of_bits(u32(nearest_step(x(n), scratch(at), i32(scratch(at + 1))))));`,
    ],
    [
      'T O',
      `let o = n % p.O;${chosen('rows', 'o')}
      if (!chosen) { set_y(n, 0); return; }
      let at = n / p.O * (p.I + 2);
      let ws = o * p.I;
      let whole = p.I - p.I % 4;
      var sum = 0;
      for (var i = 0; i < whole; i += 4) {
        let four = word_weight(ws + i);
        sum += i32(bits_scratch(at + 2 + i)) * (i32(four << 24u) >> 24u) + i32(bits_scratch(at + 3 + i)) * (i32(four << 16u) >> 24u)
          + i32(bits_scratch(at + 4 + i)) * (i32(four << 8u) >> 24u) + i32(bits_scratch(at + 5 + i)) * (i32(four) >> 24u);
      }
      for (var i = whole; i < p.I; i++) { sum += i32(bits_scratch(at + 2 + i)) * weight(ws + i); }
      set_y(n, add(mul(mul(scratch(at), scales(o)), f32(sum)), bias(o)));`,
    ],
  ],
  (of) => of('T') * (of('I') + 2),
)

/** Of each block of a token: step, step times sum, and 32 bytes. */
const linearI4 = several(
  [
    [
      'T B',
      `let b = n % p.B;
      let xs = n / p.B * p.I + b * ${BLOCK};
      let width = min(${BLOCK}, p.I - b * ${BLOCK});
      var most = 0.0;
      for (var i = 0; i < width; i++) { most = larger(most, size_of(x(xs + i))); }
      let step = divide(most, 127);
      var total = 0;
      for (var j = 0; j < 8; j++) {
        var four = 0u;
        for (var i = 4 * j; i < min(width, 4 * j + 4); i++) {
          let q = nearest_step(x(xs + i), step, 127);
          total += q;
          four |= (u32(q) & 0xffu) << (u32(i & 3) * 8u);
        }
        set_scratch(n * 10 + 2 + j, of_bits(four));
      }
      set_scratch(n * 10, step);
      set_scratch(n * 10 + 1, mul(step, f32(total)));`,
    ],
    [
      'T O',
      `let o = n % p.O;${chosen('rows', 'o')}
      if (!chosen) { set_y(n, 0); return; }
      let row = o % 4;
      var sum = zero();
      for (var b = 0; b < p.B; b++) {
        let at = (n / p.O * p.B + b) * 10;
        let quad = (o / 4 * p.B + b) * 80;
        var product = 0;
        for (var j = 0; j < 4; j++) {
          let four = word_weight(quad + 16 + j * 16 + row * 4);
          product += dot4I8Packed(bits_scratch(at + 2 + j), four & 0x0f0f0f0fu)
            + dot4I8Packed(bits_scratch(at + 6 + j), (four >> 4u) & 0x0f0f0f0fu);
        }
        let scale = widen_f16(word_weight(quad + row * 2) & 0xffffu);
        let minimum = widen_f16(word_weight(quad + 8 + row * 2) & 0xffffu);
        sum = add(sum, block_term(scale, minimum, scratch(at), product, scratch(at + 1)));
      }
      set_y(n, add(sum, bias(o)));`,
    ],
  ],
  (of) => of('T') * of('B') * 10,
)

const linearInputMajorI8 = several(
  [
    [
      'T',
      `let xs = n * p.I;
      let at = n * (p.I + 2);
      ${steps('p.R', () => `mul(x(xs + inputs(i)), scales(inputs(i)))`)}
      set_scratch(at, step);
      for (var i = 0; i < p.R; i++) {
        let unit = inputs(i);
        set_scratch(at + 2 + i, of_bits(u32(nearest_step(mul(x(xs + unit), scales(unit)), step, levels))));
      }`,
    ],
    [
      'T O',
      `let o = n % p.O;
      let at = n / p.O * (p.I + 2);
      var sum = 0;
      for (var i = 0; i < p.R; i++) {
        let q = i32(bits_scratch(at + 2 + i));
        sum += q * weight(inputs(i) * p.O + o);
      }
      set_y(n, add(mul(scratch(at), f32(sum)), bias(o)));`,
    ],
  ],
  (of) => of('T') * (of('I') + 2),
)

/** Of each block of a token: step, step times sum, and the places of its inputs in the list; then the number of each input. */
const linearInputMajorI4 = several(
  [
    [
      'T B',
      `let t = n / p.B;
      let b = n % p.B;
      let at = t * (4 * p.B + p.I);
      var most = 0.0;
      var from_ = p.R;
      var to_ = 0;
      for (var r = 0; r < p.R; r++) {
        let i = inputs(r);
        if (blocks(i) != b) { continue; }
        most = larger(most, size_of(x(t * p.I + i)));
        from_ = min(from_, r);
        to_ = r + 1;
      }
      let step = divide(most, 127);
      var total = 0;
      for (var r = from_; r < to_; r++) {
        let i = inputs(r);
        if (blocks(i) != b) { continue; }
        let q = nearest_step(x(t * p.I + i), step, 127);
        total += q;
        set_scratch(at + 4 * p.B + r, of_bits(u32(q)));
      }
      set_scratch(at + 4 * b, step);
      set_scratch(at + 4 * b + 1, mul(step, f32(total)));
      set_scratch(at + 4 * b + 2, of_bits(u32(from_)));
      set_scratch(at + 4 * b + 3, of_bits(u32(to_)));`,
    ],
    [
      'T O',
      `let o = n % p.O;
      let at = n / p.O * (4 * p.B + p.I);
      let tile = o / ${TILE};
      let byte_ = o % ${TILE} / 32 * 16 + o % 16;
      let shift = u32(o / 16 % 2) * 4u;
      var sum = zero();
      for (var b = 0; b < p.B; b++) {
        let from_ = i32(bits_scratch(at + 4 * b + 2));
        let to_ = i32(bits_scratch(at + 4 * b + 3));
        if (from_ >= to_) { continue; }
        var product = 0;
        for (var r = from_; r < to_; r++) {
          let i = inputs(r);
          if (blocks(i) != b) { continue; }
          product += i32(bits_scratch(at + 4 * p.B + r)) * ((weight((tile * p.S + i) * 32 + byte_) >> shift) & 15);
        }
        let place = (tile * p.B + b) * ${2 * TILE} + o % ${TILE};
        sum = add(sum, block_term(scales(place), scales(place + ${TILE}), scratch(at + 4 * b), product, scratch(at + 4 * b + 1)));
      }
      set_y(n, add(sum, bias(o)));`,
    ],
  ],
  (of) => of('T') * (4 * of('B') + of('I')),
)

// ---- Rows -----------------------------------------------------------------------------------------------------------

/** The mean and the scale of row t of x. */
const moments = `
  let row = n * p.D;
  ${striped('sum', 'p.D', (i) => `x(row + ${i})`)}
  let mean = divide(sum, f32(p.D));
  ${striped('squares', 'p.D', (i) => `mul(sub(x(row + ${i}), mean), sub(x(row + ${i}), mean))`)}
  let scale = divide(1, root(add(divide(squares, f32(p.D)), p.epsilon)));`

const rmsScale = `
  let row = n * p.D;
  ${striped('sum', 'p.D', (i) => `mul(x(row + ${i}), x(row + ${i}))`)}
  let scale = divide(1, root(add(divide(sum, f32(p.D)), p.epsilon)));`

/** Exponentials of rows, and their sum in scratch; then a last pass. */
const exponentials = (to: string, from: string, last: string): WgslKernel =>
  several(
    [
      ['T', `${largest('most', 'p.V', (i) => `${from}(n * p.V + ${i})`)} set_scratch(n, most);`],
      ['T V', `set_${to}(n, exp32(sub(${from}(n), scratch(n / p.V))));`],
      ['T', `${striped('total', 'p.V', (i) => `${to}(n * p.V + ${i})`)} set_scratch(n, total);`],
      ['T V', last],
    ],
    product('T'),
  )

/** Sums of one number: a thread for each lane, then one. */
function total(term: (i: string) => string, finish: string): WgslKernel {
  return several(
    [
      [
        '16',
        `let whole = p.N - p.N % 16;
        var lane = zero();
        for (var i = n; i < whole; i += 16) { lane = add(lane, ${term('i')}); }
        set_scratch(n, lane);`,
      ],
      [
        '',
        `var lanes: array<f32, 16>;
        for (var j = 0; j < 16; j++) { lanes[j] = scratch(j); }
        var sum = combine(lanes);
        for (var i = p.N - p.N % 16; i < p.N; i++) { sum = add(sum, ${term('i')}); }
        ${finish}`,
      ],
    ],
    () => 16,
  )
}

/**
 * Listed rows, of which a thread copies each number or byte. Where several rows have one slot the last one takes it, as if they had
 * been copied in order: the others are marked first.
 * @param width numbers of a row; `at` is which of them, `slot` and `row` are the rows
 */
const copyListed = (width: string, count: (of: Size) => number, code: string): WgslKernel => ({
  passes: {
    mark: `if (has_slots) {
      var later = 0.0;
      for (var i = n + 1; i < p.R; i++) { if (slots(i) == slots(n)) { later = 1; } }
      set_scratch(n, later);
    }`,
    copy: `let r = n / (${width});
    let at = n % (${width});
    if (has_slots) { if (scratch(r) > 0) { return; } }
    let slot = slots(r);
    let row = rows(r);
    ${code}`,
  },
  runs: (of) => [
    { pass: 'mark', count: of('R') },
    { pass: 'copy', count: of('R') * count(of) },
  ],
  scratch: product('R'),
})

const copyRowsOf = (bits: string): WgslKernel =>
  copyListed('p.I', product('I'), `set_y(slot * p.I + at, ${bits}(row * p.I + at));`)

/** The place of each byte of a block of an int4 row among those of four rows: scale, minimum, numbers. */
const placeOfByte = (row: string): string =>
  `select((k - 4) / 4 * 16 + 16 + ${row} % 4 * 4 + k % 4, k / 2 * 8 + ${row} % 4 * 2 + k % 2, k < 4)`

const rotary = (to: string, from: string, direction: number): WgslKernel =>
  single(
    rotaryWork,
    `let half = p.R / 2;
    let parts = p.K - half;
    let i = n % parts;
    let head = n / parts * p.K;
    if (i >= half) { set_${to}(head + i + half, ${from}(head + i + half)); return; }
    let angle = n / parts / p.H * p.R;
    let cosine = table(angle + i);
    let sine = mul(${direction}, table(angle + i + half));
    let one = ${from}(head + i);
    let other = ${from}(head + i + half);
    set_${to}(head + i, sub(mul(one, cosine), mul(other, sine)));
    set_${to}(head + i + half, add(mul(other, cosine), mul(one, sine)));`,
  )

// ---- Attention --------------------------------------------------------------------------------------------------------

/** What token t sees: `seen` positions from `start` on. */
export const seen: string = `
  let end = p.S - p.T + t + 1;
  let seen = min(end, p.W);
  let start = end - seen;`

/** The key head of head h. */
export const keyHead: string = `
  var g = 0;
  if (has_key_heads) { g = key_heads(h); } else { g = i32(u32(h) * u32(p.G) / u32(p.H)); }`

/** Some rows at a time, in order: the numbers of the first one and how many they are, and how many threads each kind of pass has. */
interface Rows<Kind extends string> extends Pick<Run, 'first' | 'many'> {
  readonly counts: Readonly<Record<Kind, number>>
}

/** Passes over some rows, each with the threads of its kind, then over the next ones. */
function inRows<Kind extends string>(
  passes: readonly (readonly [Kind, string])[],
  parts: (of: Size) => readonly Rows<Kind>[],
  scratch: (of: Size) => number,
): WgslKernel {
  return {
    passes: Object.fromEntries(passes.map(([, code], i) => [`${i}`, code])),
    runs: (of) =>
      parts(of).flatMap(({ counts, ...part }) =>
        passes.map(([kind], i) => ({ pass: `${i}`, count: counts[kind], ...part })),
      ),
    scratch,
  }
}

/** The parts of `all` numbers, `most` at a time. Nothing is a part too, for outputs that are zeros then. */
export function partsOf(all: number, most: number): { readonly first: number; readonly many: number }[] {
  return Array.from({ length: Math.max(1, Math.ceil(all / most)) }, (_, i) => {
    return { first: i * most, many: Math.min(most, all - i * most) }
  })
}

/** How many of `all` go through scratch at once, each taking so many words. */
export const atOnce = (all: number, words: number): number =>
  Math.max(1, Math.min(all, Math.floor(SCRATCH_WORDS / Math.max(1, words))))

/** Rows are tokens and heads. Each has room for the positions that a token sees at most, and for what is known of the row. */
function attentionOf(
  more: readonly [wgsl: string, words: (of: Size) => number],
  prepare: readonly (readonly ['row' | 'number' | 'position', string])[],
  value: string,
): WgslKernel {
  const room = (of: Size): number => Math.min(of('S'), of('W')) + more[1](of)
  const tokens = (of: Size): number => atOnce(of('T'), of('H') * room(of))
  const head = (index: string, otherwise: string): string => `
  let row = ${index};
  let t = p.first + row / p.H;
  let h = row % p.H;
  let query_at = (t * p.H + h) * p.K;${chosen('heads', 'h')}
  if (!chosen) { ${otherwise} return; }
  let width = min(p.S, p.W);
  let at = row * (width + ${more[0]});${seen}${keyHead}
  let key_at = g * p.C + start;`
  const starts = {
    row: head('n', ''),
    number: `let k = n % p.K; ${head('n / p.K', 'set_y(query_at + k, 0);')}`,
    position: `${head('n / min(p.S, p.W)', '')} let s = n % width; if (s >= seen) { return; }`,
  }
  return inRows(
    [...prepare, ['number', value] as const].map(([kind, code]) => [kind, `${starts[kind]} ${code}`]),
    (of) =>
      partsOf(of('T'), tokens(of)).map(({ first, many }) => {
        const rows = many * of('H')
        const counts = { row: rows, number: rows * of('K'), position: rows * Math.min(of('S'), of('W')) }
        return { first, counts }
      }),
    (of) => tokens(of) * of('H') * room(of),
  )
}

/** Exponentials of a row's scores, which stand in scratch from \`at\` on: their largest, themselves, and their sum. */
const mostOfRow = `${largest('most', 'seen', (i) => `scratch(at + ${i})`)} set_scratch(at + width, most);`
const expOfRow = `set_scratch(at + s, exp32(sub(scratch(at + s), scratch(at + width))));`
const sumOfRow = `${striped('total', 'seen', (i) => `scratch(at + ${i})`)} set_scratch(at + width, total);`
const shareOfRow = `set_scratch(at + s, divide(scratch(at + s), scratch(at + width)));`

const attention = attentionOf(
  ['1', () => 1],
  [
    [
      'position',
      `let key_row = (key_at + s) * p.K;
      ${striped('score', 'p.K', (i) => `mul(mul(query(query_at + ${i}), p.scale), key(key_row + ${i}))`)}
      set_scratch(at + s, cap_score(score, p.cap));`,
    ],
    ['row', mostOfRow],
    ['position', expOfRow],
    ['row', sumOfRow],
    ['position', shareOfRow],
  ],
  `var sum = zero();
  for (var s = 0; s < seen; s++) { sum = add(sum, mul(scratch(at + s), value((key_at + s) * p.K + k))); }
  set_y(query_at + k, sum);`,
)

/**
 * Scratch of a row: scores, then factors; largest, then sum; the query's step and numbers; the numbers of the factors; the steps of
 * their blocks.
 */
const attentionI8 = attentionOf(
  [
    `p.K + 2 + width + width / ${VALUE_BLOCK} + 2`,
    (of) => {
      const width = Math.min(of('S'), of('W'))
      return of('K') + 2 + width + Math.floor(width / VALUE_BLOCK) + 2
    },
  ],
  [
    [
      'row',
      `${steps('p.K', (i) => `mul(query(query_at + ${i}), p.scale)`)}
      set_scratch(at + width + 1, step);
      for (var k = 0; k < p.K; k++) {
        set_scratch(at + width + 2 + k, of_bits(u32(nearest_step(mul(query(query_at + k), p.scale), step, levels))));
      }`,
    ],
    [
      'position',
      `var sum = 0;
      for (var k = 0; k < p.K; k++) { sum += i32(bits_scratch(at + width + 2 + k)) * key((key_at + s) * p.K + k); }
      let factor = mul(mul(scratch(at + width + 1), key_scales(key_at + s)), f32(sum));
      set_scratch(at + s, cap_score(factor, p.cap));`,
    ],
    ['row', mostOfRow],
    ['position', expOfRow],
    [
      'row',
      `${sumOfRow}
      let numbers = at + width + 2 + p.K;
      var b = 0;
      var next = 0;
      for (var first = 0; first < seen; first = next) {
        next = min(first + ${VALUE_BLOCK} - (start + first) % ${VALUE_BLOCK}, seen);
        for (var s = first; s < next; s++) { set_scratch(at + s, mul(scratch(at + s), value_scales(key_at + s))); }
        let length = next - first;
        ${steps('length', (i) => `scratch(at + first + ${i})`)}
        set_scratch(numbers + width + b, step);
        for (var s = first; s < next; s++) {
          set_scratch(numbers + s, of_bits(u32(nearest_step(scratch(at + s), step, levels))));
        }
        b += 1;
      }`,
    ],
  ],
  `let numbers = at + width + 2 + p.K;
  var result = zero();
  var b = 0;
  var next = 0;
  for (var first = 0; first < seen; first = next) {
    next = min(first + ${VALUE_BLOCK} - (start + first) % ${VALUE_BLOCK}, seen);
    var sum = 0;
    for (var s = first; s < next; s++) { sum += i32(bits_scratch(numbers + s)) * value((key_at + s) * p.K + k); }
    result = add(result, mul(scratch(numbers + width + b), f32(sum)));
    b += 1;
  }
  set_y(query_at + k, divide(result, scratch(at + width)));`,
)

/** The gradient goes through some heads at a time, in order: a row is a head of them and a token, with its weights and their gradients. */
function attentionBackward(): WgslKernel {
  const room = (of: Size): number => of('T') * (2 * of('T') + 1)
  const heads = (of: Size): number => atOnce(of('H'), room(of))
  const row = (index: string): string => `
  let row = ${index};
  let t = row % p.T;
  let h = p.first + row / p.T;
  let width = 2 * p.T;
  let at = row * (width + 1);
  let seen = min(t + 1, p.W);
  let start = t + 1 - seen;
  let g = i32(u32(h) * u32(p.G) / u32(p.H));
  let query_at = (t * p.H + h) * p.K;
  let key_at = g * p.C + start;`
  const position = `${row('n / p.T')} let s = n % p.T; if (s >= seen) { return; }`
  const score = striped(
    'score',
    'p.K',
    (i) => `mul(mul(query(query_at + ${i}), p.scale), key((key_at + s) * p.K + ${i}))`,
  )
  const passes: readonly (readonly ['row' | 'number' | 'position' | 'past', string])[] = [
    ['position', `${position} ${score} set_scratch(at + s, cap_score(score, p.cap));`],
    ['row', `${row('n')} ${mostOfRow}`],
    ['position', `${position} ${expOfRow}`],
    ['row', `${row('n')} ${sumOfRow}`],
    [
      'position',
      `${position} ${shareOfRow}
      ${striped('slope', 'p.K', (i) => `mul(y_grad(query_at + ${i}), value((key_at + s) * p.K + ${i}))`)}
      set_scratch(at + p.T + s, slope);`,
    ],
    [
      'row',
      `${row('n')} ${striped('mean', 'seen', (i) => `mul(scratch(at + ${i}), scratch(at + p.T + ${i}))`)}
      set_scratch(at + width, mean);`,
    ],
    [
      'position',
      `${position}
      var slope = mul(scratch(at + s), sub(scratch(at + p.T + s), scratch(at + width)));
      if (is_positive(p.cap)) {${score}
        slope = mul(slope, cap_slope(score, p.cap));
      }
      set_scratch(at + p.T + s, slope);`,
    ],
    [
      'number',
      `${row('n / p.K')}
      let k = n % p.K;
      var sum = zero();
      for (var s = 0; s < seen; s++) { sum = add(sum, mul(scratch(at + p.T + s), key((key_at + s) * p.K + k))); }
      set_query_grad(query_at + k, mul(sum, p.scale));`,
    ],
    [
      'past',
      `let k = n % p.K;
      let of_head = n / p.K % p.G;
      let place = n / p.K / p.G;
      var of_value = zero();
      var of_key = zero();
      if (p.first > 0) {
        of_value = value_grad(n);
        of_key = key_grad(n);
      }
      for (var i = 0; i < p.many; i++) {
        if (i32(u32(p.first + i) * u32(p.G) / u32(p.H)) != of_head) { continue; }
        for (var token = place; token < min(p.T, place + p.W); token++) {${row('i * p.T + token')}
          of_value = add(of_value, mul(scratch(at + place - start), y_grad(query_at + k)));
          of_key = add(of_key, mul(scratch(at + p.T + place - start), mul(query(query_at + k), p.scale)));
        }
      }
      set_value_grad(n, of_value);
      set_key_grad(n, of_key);`,
    ],
  ]
  return inRows(
    passes,
    (of) =>
      // Without heads the gradients of keys and values are zeros.
      partsOf(of('H'), heads(of)).map((part) => {
        const rows = part.many * of('T')
        const [number, position] = [rows * of('K'), rows * of('T')]
        return { ...part, counts: { row: rows, number, position, past: of('T') * of('G') * of('K') } }
      }),
    (of) => heads(of) * room(of),
  )
}

/** Lists of the highest scores: a thread for each run of neighbouring units. */
const RUNS = 64
const topKRun = `
  let width = (p.N + ${RUNS - 1}) / ${RUNS};
  let start = min(n * width, p.N);
  let end = min(start + width, p.N);`
/** The key of the R-th highest score is found bit by bit from the top, each bit by counting. */
const topK: WgslKernel = {
  passes: {
    start: `set_scratch(${2 * RUNS}, zero());`,
    count: `${topKRun}
      let candidate = bits_scratch(${2 * RUNS}) | (1u << u32(p.first));
      var count = 0;
      for (var i = start; i < end; i++) { count += select(0, 1, key_of(scores(i)) >= candidate); }
      set_scratch(n, of_bits(u32(count)));`,
    decide: `var count = 0;
      for (var i = 0; i < ${RUNS}; i++) { count += i32(bits_scratch(i)); }
      if (count >= p.R) { set_scratch(${2 * RUNS}, of_bits(bits_scratch(${2 * RUNS}) | (1u << u32(p.first)))); }`,
    split: `${topKRun}
      let threshold = bits_scratch(${2 * RUNS});
      var above = 0;
      var equal = 0;
      for (var i = start; i < end; i++) {
        let key = key_of(scores(i));
        above += select(0, 1, key > threshold);
        equal += select(0, 1, key == threshold);
      }
      set_scratch(n, of_bits(u32(above)));
      set_scratch(${RUNS} + n, of_bits(u32(equal)));`,
    write: `${topKRun}
      let threshold = bits_scratch(${2 * RUNS});
      // Of those that are equal to the R-th highest, the first ones are in.
      var left = p.R;
      for (var i = 0; i < ${RUNS}; i++) { left -= i32(bits_scratch(i)); }
      var place = 0;
      for (var i = 0; i < n; i++) {
        let taken = min(i32(bits_scratch(${RUNS} + i)), left);
        place += i32(bits_scratch(i)) + taken;
        left -= taken;
      }
      for (var i = start; i < end; i++) {
        let key = key_of(scores(i));
        if (key > threshold || (key == threshold && left > 0)) {
          if (key == threshold) { left -= 1; }
          set_indices(place, i);
          place += 1;
        }
      }`,
  },
  runs: (of) => {
    if (of('R') === 0) return []
    const bits = Array.from({ length: 32 }, (_, i) => 31 - i)
    return [
      { pass: 'start', count: 1 },
      ...bits.flatMap((first) => [
        { pass: 'count', count: RUNS, first },
        { pass: 'decide', count: 1, first },
      ]),
      { pass: 'split', count: RUNS },
      { pass: 'write', count: RUNS },
    ]
  },
  scratch: () => 2 * RUNS + 1,
}

/** The gradient of a gate's inputs. */
const gateBackward = (before: string, gate: string, up: string): WgslKernel =>
  each(`let z = gate(n);
    let dy = y_grad(n);
    let u = up(n);
    ${before}
    set_gate_grad(n, ${gate});
    set_up_grad(n, ${up});`)

/** That of a gate z s, s being one over `d`; `inner` is what z s' is over s (1 - s). */
const sigmoidBackward = (d: string, inner: string): WgslKernel =>
  gateBackward(
    `let d = ${d};
    let s = divide(1, d);
    let slope = mul(s, add(1, ${inner}));`,
    'mul(mul(dy, u), slope)',
    'mul(dy, divide(z, d))',
  )

/** How much a target counts in bce. */
const weighed = (i: string): string =>
  `add(mul(target_of(${i}), sub(1, p.negative_weight)), p.negative_weight)`

/** The factor of a matrix: a row is finished, then what is left of the matrix loses its term. */
const cholesky: WgslKernel = {
  passes: {
    copy: `if (n % p.U < n / p.U) { set_factor(n, 0); } else { set_factor(n, a(n)); }`,
    pivot: `let square = factor(p.first * p.U + p.first);
      var pivot = 0.0;
      if (is_positive(square)) { pivot = root(square); }
      set_scratch(0, pivot);`,
    row: `let pivot = scratch(0);
      let at = p.first * p.U + n;
      if (n < p.first) { return; }
      if (n == p.first) { set_factor(at, pivot); return; }
      if (is_positive(pivot)) { set_factor(at, divide(factor(at), pivot)); } else { set_factor(at, 0); }`,
    rest: `let i = n / p.U;
      let j = n % p.U;
      if (i <= p.first || j < i) { return; }
      let row = p.first * p.U;
      set_factor(n, sub(factor(n), mul(factor(row + i), factor(row + j))));`,
  },
  runs: (of) => [
    { pass: 'copy', count: of('U') ** 2 },
    ...Array.from({ length: of('U') }, (_, first) => [
      { pass: 'pivot', count: 1, first },
      { pass: 'row', count: of('U'), first },
      { pass: 'rest', count: of('U') ** 2, first },
    ]).flat(),
  ],
  scratch: () => 1,
}

/** The sum divided by the pivot of row k with the other sign, or 0. */
const dividedByPivot = `
  let pivot = factor(k * p.U + k);
  var quotient = 0.0;
  if (is_positive(pivot)) { quotient = minus(divide(sum, pivot)); }
  set_x(k * p.D + n, quotient);`

/** Both triangles of a column. */
const solveCholesky = single(
  product('D'),
  `for (var k = 0; k < p.U; k++) {
    var sum = b(k * p.D + n);
    for (var i = 0; i < k; i++) { sum = add(sum, mul(factor(i * p.U + k), x(i * p.D + n))); }
    ${dividedByPivot}
  }
  for (var k = p.U - 1; k >= 0; k--) {
    var sum = x(k * p.D + n);
    for (var i = p.U - 1; i > k; i--) { sum = add(sum, mul(factor(k * p.U + i), x(i * p.D + n))); }
    ${dividedByPivot}
  }`,
)

// ---- The catalogue ----------------------------------------------------------------------------------------------------

/** A row rounded to int8, y from \`to\` on, with its scale. */
const quantizeRow = (y: string, from: string, length: string, to: string): string => `
  var most = 0.0;
  for (var i = 0; i < ${length}; i++) { most = larger(most, size_of(x(${from} + i))); }
  let scale = scale_of_row(most);
  for (var i = 0; i < ${length}; i++) {
    var q = 0;
    if (is_positive(scale)) { q = nearest_step(x(${from} + i), scale, 127); }
    set_${y}(${to} + i, q);
  }`

/** The head at place r of a list, and the place of token t in its cache. */
const cacheHead = `
  let h = heads(r);
  let place = h * p.C + p.P + t;`

/** The exact kernels that exist. */
export const exactKernels: Readonly<Record<KernelName, WgslKernel>> = {
  embedding,
  embedding_bf16: embedding,
  embedding_f16: embedding,
  embedding_i8: each(`let row = ids(n / p.D); set_y(n, mul(scales(row), f32(table(row * p.D + n % p.D))));`),
  linear,
  linear_bf16: linear,
  linear_f16: linear,
  linear_i8: linearI8,
  linear_i4: linearI4,
  linear_input_major: linearInputMajor,
  linear_input_major_bf16: linearInputMajor,
  linear_input_major_f16: linearInputMajor,
  linear_input_major_i8: linearInputMajorI8,
  linear_input_major_i4: linearInputMajorI4,
  layer_norm: several(
    [
      ['T', `${moments} set_scratch(2 * n, mean); set_scratch(2 * n + 1, scale);`],
      [
        'T D',
        `let d = n % p.D;
        let t = n / p.D;
        set_y(n, add(mul(mul(sub(x(n), scratch(2 * t)), scratch(2 * t + 1)), weight(d)), bias(d)));`,
      ],
    ],
    (of) => 2 * of('T'),
  ),
  rms_norm: several(
    [
      ['T', `${rmsScale} set_scratch(n, scale);`],
      ['T D', `set_y(n, mul(mul(x(n), scratch(n / p.D)), weight(n % p.D)));`],
    ],
    product('T'),
  ),
  rotary: rotary('y', 'x', 1),
  rotary_backward: rotary('x_grad', 'y_grad', -1),
  cache_append: single(
    product('T', 'R', 'K'),
    `let r = n / p.K / p.T;
    let t = n / p.K % p.T;${cacheHead}
    set_cache(place * p.K + n % p.K, x((t * p.H + h) * p.K + n % p.K));`,
  ),
  cache_append_i8: single(
    product('T', 'R'),
    `let r = n / p.T;
    let t = n % p.T;${cacheHead}
    let from_ = (t * p.H + h) * p.K;
    ${quantizeRow('cache', 'from_', 'p.K', 'place * p.K')}
    set_scales(place, scale);`,
  ),
  attention,
  attention_i8: attentionI8,
  relu: each(`if (is_positive(x(n))) { set_y(n, x(n)); } else { set_y(n, 0); }`),
  relu_gate: each(`if (is_positive(gate(n))) { set_y(n, mul(gate(n), up(n))); } else { set_y(n, 0); }`),
  silu_gate: each(`set_y(n, mul(divide(gate(n), denominator(gate(n))), up(n)));`),
  gelu_tanh_gate: each(`set_y(n, mul(divide(gate(n), gelu_denominator(gate(n))), up(n)));`),
  soft_cap: each(`set_y(n, cap_score(x(n), p.cap));`),
  add: each(`set_y(n, add(a(n), b(n)));`),
  mask_units: each(`set_y(n, mul(x(n), mask(n / p.K % p.U)));`),
  exp: each(`set_y(n, exp32(x(n)));`),
  log: each(`set_y(n, log32(x(n)));`),
  softmax: exponentials('y', 'x', 'set_y(n, divide(y(n), scratch(n / p.V)));'),
  sum: total((i) => `x(${i})`, `set_total(0, add(total(0), sum));`),
  sum_squares: total((i) => `mul(x(${i}), x(${i}))`, `set_total(0, add(total(0), sum));`),
  transpose: each(`set_y(n % p.I * p.O + n / p.I, x(n));`),
  transpose_bf16: each(`set_y(n % p.I * p.O + n / p.I, bits_x(n));`),
  transpose_f16: each(`set_y(n % p.I * p.O + n / p.I, bits_x(n));`),
  cholesky,
  solve_cholesky: solveCholesky,
  narrow_bf16: each(`set_y(n, narrow_to_bf16(x(n)));`),
  narrow_f16: each(`set_y(n, narrow_to_f16(x(n)));`),
  quantize_rows: single(
    product('O'),
    `${quantizeRow('y', 'n * p.I', 'p.I', 'n * p.I')} set_scales(n, scale);`,
  ),
  copy_rows: copyRowsOf('x'),
  copy_rows_bf16: copyRowsOf('bits_x'),
  copy_rows_f16: copyRowsOf('bits_x'),
  copy_rows_i8: copyRowsOf('x'),
  copy_rows_i4: copyRowsOf('x'),
  copy_interleaved_rows: copyListed(
    `p.B * ${BLOCK_BYTES}`,
    (of) => of('B') * BLOCK_BYTES,
    `let k = at % ${BLOCK_BYTES};
    let block = at / ${BLOCK_BYTES};
    set_y((slot / 4 * p.B + block) * 80 + ${placeOfByte('slot')}, x((row / 4 * p.B + block) * 80 + ${placeOfByte('row')}));`,
  ),
  top_k: topK,
  embedding_backward: single(
    product('D'),
    `for (var t = 0; t < p.T; t++) {
      let place = ids(t) * p.D + n;
      set_table_grad(place, add(table_grad(place), y_grad(t * p.D + n)));
    }`,
  ),
  linear_backward_weight: single(
    product('R', 'I'),
    `let i = n % p.I;
    let o = rows(n / p.I);
    var sum = weight_grad(o * p.I + i);
    for (var t = 0; t < p.T; t++) { sum = add(sum, mul(y_grad(t * p.O + o), x(t * p.I + i))); }
    set_weight_grad(o * p.I + i, sum);`,
  ),
  linear_backward_bias: single(
    product('R'),
    `let o = rows(n);
    var sum = bias_grad(o);
    for (var t = 0; t < p.T; t++) { sum = add(sum, y_grad(t * p.O + o)); }
    set_bias_grad(o, sum);`,
  ),
  layer_norm_backward: several(
    [
      [
        'T',
        `${moments}
        ${striped('g', 'p.D', (i) => `mul(y_grad(row + ${i}), weight(${i}))`)}
        ${striped('gn', 'p.D', (i) => `mul(mul(y_grad(row + ${i}), weight(${i})), mul(sub(x(row + ${i}), mean), scale))`)}
        set_scratch(4 * n, mean);
        set_scratch(4 * n + 1, scale);
        set_scratch(4 * n + 2, divide(g, f32(p.D)));
        set_scratch(4 * n + 3, divide(gn, f32(p.D)));`,
      ],
      [
        'T D',
        `let at = n / p.D * 4;
        let normal = mul(sub(x(n), scratch(at)), scratch(at + 1));
        let g = mul(y_grad(n), weight(n % p.D));
        set_x_grad(n, mul(scratch(at + 1), sub(sub(g, scratch(at + 2)), mul(normal, scratch(at + 3)))));`,
      ],
      [
        'D',
        `var of_weight = weight_grad(n);
        var of_bias = bias_grad(n);
        for (var t = 0; t < p.T; t++) {
          let i = t * p.D + n;
          of_weight = add(of_weight, mul(y_grad(i), mul(sub(x(i), scratch(4 * t)), scratch(4 * t + 1))));
          of_bias = add(of_bias, y_grad(i));
        }
        set_weight_grad(n, of_weight);
        set_bias_grad(n, of_bias);`,
      ],
    ],
    (of) => 4 * of('T'),
  ),
  rms_norm_backward: several(
    [
      [
        'T',
        `${rmsScale}
        ${striped('gn', 'p.D', (i) => `mul(mul(y_grad(row + ${i}), weight(${i})), mul(x(row + ${i}), scale))`)}
        set_scratch(2 * n, scale);
        set_scratch(2 * n + 1, divide(gn, f32(p.D)));`,
      ],
      [
        'T D',
        `let at = n / p.D * 2;
        let g = mul(y_grad(n), weight(n % p.D));
        set_x_grad(n, mul(scratch(at), sub(g, mul(mul(x(n), scratch(at)), scratch(at + 1)))));`,
      ],
      [
        'D',
        `var sum = weight_grad(n);
        for (var t = 0; t < p.T; t++) {
          let i = t * p.D + n;
          sum = add(sum, mul(y_grad(i), mul(x(i), scratch(2 * t))));
        }
        set_weight_grad(n, sum);`,
      ],
    ],
    (of) => 2 * of('T'),
  ),
  attention_backward: attentionBackward(),
  relu_backward: each(`if (is_positive(x(n))) { set_x_grad(n, y_grad(n)); } else { set_x_grad(n, 0); }`),
  relu_gate_backward: gateBackward(
    '',
    'select(0, mul(dy, u), is_positive(z))',
    'select(0, mul(dy, z), is_positive(z))',
  ),
  silu_gate_backward: sigmoidBackward('denominator(z)', 'mul(z, sub(1, s))'),
  gelu_tanh_gate_backward: sigmoidBackward(
    'gelu_denominator(z)',
    'mul(mul(z, sub(1, s)), mul(1.5957691216057308, add(1, mul(0.134145, mul(z, z)))))',
  ),
  soft_cap_backward: each(
    `if (is_positive(p.cap)) { set_x_grad(n, mul(y_grad(n), cap_slope(x(n), p.cap))); } else { set_x_grad(n, y_grad(n)); }`,
  ),
  softmax_backward: several(
    [
      [
        'T',
        `${striped('mean', 'p.V', (i) => `mul(y_grad(n * p.V + ${i}), y(n * p.V + ${i}))`)} set_scratch(n, mean);`,
      ],
      ['T V', `set_x_grad(n, mul(y(n), sub(y_grad(n), scratch(n / p.V))));`],
    ],
    product('T'),
  ),
  log_sum_exp: each(
    `${largest('most', 'p.V', (i) => `x(n * p.V + ${i})`)}
    ${striped('total', 'p.V', (i) => `exp32(sub(x(n * p.V + ${i}), most))`)}
    set_y(n, add(most, log32(total)));`,
  ),
  log_sum_exp_backward: each(`set_x_grad(n, mul(y_grad(n / p.V), exp32(sub(x(n), y(n / p.V)))));`),
  cross_entropy: each(
    `let label = labels(n);
    if (label == ${NOT_SCORED}) { set_nll(n, 0); return; }
    ${largest('most', 'p.V', (i) => `logits(n * p.V + ${i})`)}
    ${striped('total', 'p.V', (i) => `exp32(sub(logits(n * p.V + ${i}), most))`)}
    set_nll(n, sub(log32(total), sub(logits(n * p.V + label), most)));`,
  ),
  cross_entropy_backward: exponentials(
    'logits_grad',
    'logits',
    `let label = labels(n / p.V);
    if (label == ${NOT_SCORED}) { set_logits_grad(n, 0); return; }
    var probability = divide(logits_grad(n), scratch(n / p.V));
    if (n % p.V == label) { probability = sub(probability, 1); }
    set_logits_grad(n, mul(nll_grad(n / p.V), probability));`,
  ),
  mse: total(
    (i) => `mul(sub(prediction(${i}), target_of(${i})), sub(prediction(${i}), target_of(${i})))`,
    `set_loss(0, divide(sum, f32(p.N)));`,
  ),
  mse_backward: each(
    `let factor = divide(mul(2, loss_grad(0)), f32(p.N));
    set_prediction_grad(n, mul(factor, sub(prediction(n), target_of(n))));`,
  ),
  bce: total(
    (i) =>
      `mul(${weighed(i)}, add(sub(select(0, logits(${i}), is_positive(logits(${i}))), mul(logits(${i}), target_of(${i}))), log32(denominator(size_of(logits(${i}))))))`,
    `set_loss(0, divide(sum, f32(p.N)));`,
  ),
  bce_backward: each(
    `let factor = divide(loss_grad(0), f32(p.N));
    let small = exp32(minus(size_of(logits(n))));
    let probability = divide(select(small, 1, is_positive(logits(n))), add(1, small));
    set_logits_grad(n, mul(factor, mul(${weighed('n')}, sub(probability, target_of(n)))));`,
  ),
  min_max: several(
    [
      [
        'T',
        `${largest('most', 'p.D', (i) => `x(n * p.D + ${i})`)}
        var least = infinity();
        for (var i = 0; i < p.D; i++) { if (is_above(least, x(n * p.D + i))) { least = x(n * p.D + i); } }
        set_scratch(2 * n, least);
        set_scratch(2 * n + 1, sub(most, least));`,
      ],
      [
        'T D',
        `let at = n / p.D * 2;
        if (is_positive(scratch(at + 1))) { set_y(n, divide(sub(x(n), scratch(at)), scratch(at + 1))); } else { set_y(n, 0); }`,
      ],
    ],
    (of) => 2 * of('T'),
  ),
  adamw_step: each(
    `let g = grad(n);
    let m = add(mul(p.beta1, mean(n)), mul(sub(1, p.beta1), g));
    let v = add(mul(p.beta2, square(n)), mul(sub(1, p.beta2), mul(g, g)));
    set_mean(n, m);
    set_square(n, v);
    let spread = add(root(divide(v, p.correction2)), p.epsilon);
    let step = divide(mul(p.rate, divide(m, p.correction1)), spread);
    set_weight(n, sub(mul(weight(n), sub(1, mul(p.rate, p.decay))), step));`,
  ),
}
