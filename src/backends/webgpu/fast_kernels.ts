/**
 * The kernels that trade bits for speed, within the fast bounds of the catalogue: a workgroup shares each sum, so that neighbours read
 * neighbouring numbers, or several tokens share what is read. A number's place in a sum follows from its index alone, or is that of the
 * definition, and depends on no other token; so masked still equals zeroed, and a token alone equals itself among others.
 */
import type { KernelName } from '../../ops/catalog.ts'
import type { Size } from '../launches.ts'
import { atOnce, chosen, keyHead, partsOf, seen, type WgslKernel } from './exact_kernels.ts'
import { GROUP } from './shader.ts'

/** Tokens that share a read of a weight. */
const TOKENS = 4

/** A workgroup for each of `count` pieces of work. */
const grouped = (count: (of: Size) => number, code: string): WgslKernel => ({
  passes: { main: code },
  runs: (of) => [{ pass: 'main', count: count(of) }],
  isGrouped: true,
})

/** Where the rows of the tokens from t on are. Past the last token the last one is read again. */
const rowsOfX = `let rows_of_x = min(vec4i(t, t + 1, t + 2, t + 3), vec4i(p.T - 1)) * p.I;`
const fourOfX = (i: string): string =>
  `vec4f(x(rows_of_x.x + ${i}), x(rows_of_x.y + ${i}), x(rows_of_x.z + ${i}), x(rows_of_x.w + ${i}))`

const linear = grouped(
  (of) => of('O') * Math.ceil(of('T') / TOKENS),
  `let o = n % p.O;
  let t = n / p.O * ${TOKENS};${chosen('rows', 'o')}
  ${rowsOfX}
  let terms = select(0, p.I, chosen);
  var sums = vec4f(0);
  for (var i = i32(thread); i < terms; i += ${GROUP}) {
    sums = fused4(${fourOfX('i')}, weight(o * p.I + i), sums);
  }
  sums = group_sum(thread, sums);
  if (i32(thread) < min(${TOKENS}, p.T - t)) {
    var sum = sums[thread];
    if (has_bias && chosen) { sum = add(sum, bias(o)); }
    set_y((t + i32(thread)) * p.O + o, sum);
  }`,
)

/** Terms of a sum that are read before they are added. */
const AHEAD = 8

/** Statements that add the terms in the order of the definition: units that are packed have that in common with listed ones. */
function addedInOrder(type: 'f32' | 'vec4f', x: (i: string) => string): string {
  const isOne = type === 'f32'
  const fused = isOne ? 'fused' : 'fused4'
  const ahead = (code: (k: number) => string): string =>
    Array.from({ length: AHEAD }, (_, k) => code(k)).join('\n    ')
  return `var sum = ${type}(0);
  var r = 0;
  for (; r + ${AHEAD} <= p.R; r += ${AHEAD}) {
    ${ahead((k) => `let i${k} = inputs(r + ${k});`)}
    ${ahead((k) => `let w${k} = weight(i${k} * p.O + o);`)}
    ${ahead((k) => `sum = ${fused}(${x(`i${k}`)}, w${k}, sum);`)}
  }
  for (; r < p.R; r++) {
    let i = inputs(r);
    sum = ${fused}(${x('i')}, weight(i * p.O + o), sum);
  }
  if (has_bias) { sum = ${isOne ? 'add(sum, bias(o))' : 'add4(sum, vec4f(bias(o)))'}; }`
}

/** A thread for each output of a token, or of some tokens. */
const linearInputMajor: WgslKernel = {
  passes: {
    one: `let o = n;
  ${addedInOrder('f32', (i) => `x(${i})`)}
  set_y(o, sum);`,
    some: `let o = n % p.O;
  let t = n / p.O * ${TOKENS};
  ${rowsOfX}
  ${addedInOrder('vec4f', fourOfX)}
  for (var token = 0; token < min(${TOKENS}, p.T - t); token++) { set_y((t + token) * p.O + o, sum[token]); }`,
  },
  runs: (of) => [
    of('T') === 1
      ? { pass: 'one', count: of('O') }
      : { pass: 'some', count: of('O') * Math.ceil(of('T') / TOKENS) },
  ],
}

/** Tokens whose scores are in scratch at once. */
const tokensAtOnce = (of: Size): number => atOnce(of('T'), of('H') * Math.min(of('S'), of('W')))

/** A workgroup for each token and head, in one launch. */
const attention: WgslKernel = {
  passes: {
    main: `
  let t = p.first + n / p.H;
  let h = n % p.H;
  let query_at = (t * p.H + h) * p.K;${chosen('heads', 'h')}${seen}${keyHead}
  let at = n * min(p.S, p.W);
  let key_at = g * p.C + start;
  let positions = select(0, seen, chosen);
  var most = minus(infinity());
  for (var s = i32(thread); s < positions; s += ${GROUP}) {
    var score = 0.0;
    for (var k = 0; k < p.K; k++) {
      score = fused(mul(query(query_at + k), p.scale), key((key_at + s) * p.K + k), score);
    }
    score = cap_score(score, p.cap);
    set_scratch(at + s, score);
    if (score > most) { most = score; }
  }
  most = group_most(thread, most);
  var sum = 0.0;
  for (var s = i32(thread); s < positions; s += ${GROUP}) {
    let e = exp32(sub(scratch(at + s), most));
    sum = add(sum, e);
    set_scratch(at + s, e);
  }
  let total = group_sum(thread, vec4f(sum)).x;
  for (var s = i32(thread); s < positions; s += ${GROUP}) { set_scratch(at + s, divide(scratch(at + s), total)); }
  storageBarrier();
  for (var k = i32(thread); k < p.K; k += ${GROUP}) {
    var result = 0.0;
    for (var s = 0; s < positions; s++) {
      result = fused(scratch(at + s), value((key_at + s) * p.K + k), result);
    }
    set_y(query_at + k, select(0, result, chosen));
  }`,
  },
  runs: (of) =>
    partsOf(of('T'), tokensAtOnce(of)).map(({ first, many }) => ({
      pass: 'main',
      count: many * of('H'),
      first,
    })),
  isGrouped: true,
  scratch: (of) => tokensAtOnce(of) * of('H') * Math.min(of('S'), of('W')),
}

/** Each number of a row, shared by the threads of a workgroup. */
const share = (length: string, code: string): string =>
  `for (var i = i32(thread); i < ${length}; i += ${GROUP}) { ${code} }`

/** The kernels; an op without one has its exact kernel. */
export const fastKernels: Readonly<Partial<Record<KernelName, WgslKernel>>> = {
  linear,
  linear_bf16: linear,
  linear_f16: linear,
  linear_input_major: linearInputMajor,
  linear_input_major_bf16: linearInputMajor,
  linear_input_major_f16: linearInputMajor,
  attention,
  layer_norm: grouped(
    (of) => of('T'),
    `let row = n * p.D;
    let width = f32(p.D);
    var sum = 0.0;
    ${share('p.D', 'sum = add(sum, x(row + i));')}
    let mean = divide(group_sum(thread, vec4f(sum)).x, width);
    var squares = 0.0;
    ${share('p.D', 'let off = sub(x(row + i), mean); squares = fused(off, off, squares);')}
    let scale = divide(1, root(add(divide(group_sum(thread, vec4f(squares)).x, width), p.epsilon)));
    ${share('p.D', 'set_y(row + i, add(mul(mul(sub(x(row + i), mean), scale), weight(i)), bias(i)));')}`,
  ),
  rms_norm: grouped(
    (of) => of('T'),
    `let row = n * p.D;
    var squares = 0.0;
    ${share('p.D', 'squares = fused(x(row + i), x(row + i), squares);')}
    let scale = divide(1, root(add(divide(group_sum(thread, vec4f(squares)).x, f32(p.D)), p.epsilon)));
    ${share('p.D', 'set_y(row + i, mul(mul(x(row + i), scale), weight(i)));')}`,
  ),
  softmax: grouped(
    (of) => of('T'),
    `let row = n * p.V;
    var most = minus(infinity());
    ${share('p.V', 'if (x(row + i) > most) { most = x(row + i); }')}
    most = group_most(thread, most);
    var sum = 0.0;
    ${share('p.V', 'let e = exp32(sub(x(row + i), most)); sum = add(sum, e); set_y(row + i, e);')}
    let total = group_sum(thread, vec4f(sum)).x;
    ${share('p.V', 'set_y(row + i, divide(y(row + i), total));')}`,
  ),
}
