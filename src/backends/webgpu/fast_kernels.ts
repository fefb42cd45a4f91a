/**
 * The kernels that trade bits for speed, within the fast bounds of the catalogue: a workgroup shares each sum, so that neighbours read
 * neighbouring numbers. A number's place in a sum follows from its index alone, and from no other token, so masked still equals
 * zeroed, and a token alone equals itself among others.
 */
import type { KernelName } from '../../ops/catalog.ts'
import type { Size } from '../launches.ts'
import { chosen, type WgslKernel } from './exact_kernels.ts'
import { GROUP } from './shader.ts'

/** Tokens that share a read of a weight. */
const TOKENS = 4

/** A workgroup for each of `count` pieces of work. */
const grouped = (count: (of: Size) => number, code: string): WgslKernel => ({
  passes: { main: code },
  runs: (of) => [{ pass: 'main', count: count(of) }],
  isGrouped: true,
})

const linear = grouped(
  (of) => of('O') * Math.ceil(of('T') / TOKENS),
  `let o = n % p.O;
  let t = n / p.O * ${TOKENS};${chosen('rows', 'o')}
  // Past the last token the last one is read again.
  let rows_of_x = min(vec4i(t, t + 1, t + 2, t + 3), vec4i(p.T - 1)) * p.I;
  let terms = select(0, p.I, chosen);
  var sums = vec4f(0);
  for (var i = i32(thread); i < terms; i += ${GROUP}) {
    let at = rows_of_x + vec4i(i);
    sums = fma(vec4f(x(at.x), x(at.y), x(at.z), x(at.w)), vec4f(weight(o * p.I + i)), sums);
  }
  sums = group_sum(thread, sums);
  if (i32(thread) < min(${TOKENS}, p.T - t)) {
    var sum = sums[thread];
    if (has_bias && chosen) { sum = sum + bias(o); }
    set_y((t + i32(thread)) * p.O + o, sum);
  }`,
)

/** Each number of a row, shared by the threads of a workgroup. */
const share = (length: string, code: string): string =>
  `for (var i = i32(thread); i < ${length}; i += ${GROUP}) { ${code} }`

/** The kernels; an op without one has its exact kernel. */
export const fastKernels: Readonly<Partial<Record<KernelName, WgslKernel>>> = {
  linear,
  linear_bf16: linear,
  linear_f16: linear,
  layer_norm: grouped(
    (of) => of('T'),
    `let row = n * p.D;
    let width = f32(p.D);
    var sum = 0.0;
    ${share('p.D', 'sum = sum + x(row + i);')}
    let mean = divide(group_sum(thread, vec4f(sum)).x, width);
    var squares = 0.0;
    ${share('p.D', 'let off = x(row + i) - mean; squares = fma(off, off, squares);')}
    let scale = divide(1, root(divide(group_sum(thread, vec4f(squares)).x, width) + p.epsilon));
    ${share('p.D', 'set_y(row + i, (x(row + i) - mean) * scale * weight(i) + bias(i));')}`,
  ),
  rms_norm: grouped(
    (of) => of('T'),
    `let row = n * p.D;
    var squares = 0.0;
    ${share('p.D', 'squares = fma(x(row + i), x(row + i), squares);')}
    let scale = divide(1, root(divide(group_sum(thread, vec4f(squares)).x, f32(p.D)) + p.epsilon));
    ${share('p.D', 'set_y(row + i, x(row + i) * scale * weight(i));')}`,
  ),
  softmax: grouped(
    (of) => of('T'),
    `let row = n * p.V;
    var most = minus(infinity());
    ${share('p.V', 'if (x(row + i) > most) { most = x(row + i); }')}
    most = group_most(thread, most);
    var sum = 0.0;
    ${share('p.V', 'let e = exp32(sub(x(row + i), most)); sum = sum + e; set_y(row + i, e);')}
    let total = group_sum(thread, vec4f(sum)).x;
    ${share('p.V', 'set_y(row + i, divide(y(row + i), total));')}`,
  ),
}
