/**
 * Gradients (law 6): each rule of the catalogue gives the derivative of its op, found by central differences.
 *
 * The loss is <y, y_grad>, summed in float64. Its derivative is taken by the five-point formula
 *   (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h        error h^4 f'''''/ 30
 * with h = 2^-5 on data whose sums with h are exact in float32 and that keeps 0.25 from the kink of ReLU. At that h the
 * cut-off of the formula is below 1e-6 times the fifth derivative, and what the forward pass rounds (6e-8 of each
 * y) becomes an error of about 3e-6 times the number of terms it adds up. The tolerance is 5e-4 of the loss's scale: 50
 * times that noise, and far below any wrong sign, factor, missing term or mean.
 */
import type { Backend } from '../../backends/backend.ts'
import { kernelNames, kernels, type KernelName } from '../../ops/catalog.ts'
import { boundBy, type GradientRule, type Param, type Sizes } from '../../ops/op.ts'
import { call, type Value, type Values } from '../../testing/op_call.ts'
import { Data } from '../../testing/seeded_data.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../../testing/op_case.ts'
import { dot64 } from '../float64.ts'
import { always, type BackendLaw } from './law.ts'

/** The step of the differences. */
const step = 2 ** -5
const tolerance = 5e-4
/** How many elements of each input are moved. */
const probes = 12

/** One law per rule of the catalogue. */
export function gradientLaws(): BackendLaw[] {
  return kernelNames.flatMap((name) => kernels[name].gradients.map((rule) => gradientLaw(name, rule)))
}

/** Every rule of one op. */
export function gradientLaw(name: KernelName, rule: GradientRule): BackendLaw {
  const row = kernels[name]
  return always(`${name}: ${rule.op} is the derivative by ${rule.of.join(', ')}`, (backend) => {
    const data = new Data(7)
    for (const { absent } of variantsOf(row)) {
      if (rule.of.some((input) => absent.has(input))) continue
      for (const wanted of [1, 2, 3, 5, 19]) {
        const wish = Object.fromEntries(lettersOf(row).map((letter) => [letter, wanted + data.below(3)]))
        for (const { holds, shape } of arraysOf(row))
          if (holds === 'ascending') wish[shape[0]] = Math.ceil(wanted / 2)
        const values = makeValues(name, fitSizes(row, wish), data, 'smooth', absent)
        checkRule(backend, name, rule, values, data)
      }
    }
  })
}

function checkRule(backend: Backend, name: KernelName, rule: GradientRule, values: Values, data: Data): void {
  const [output] = arraysOf(kernels[name]).filter(({ role }) => role === 'out')
  const forward = (inputs: Values): Float32Array => call(backend, name, inputs)[output.name]
  const y = forward(values)
  const yGrad = data.floats('yGrad', y.length, 'smooth')
  const names: Values = { ...values, [output.name]: y, [`${output.name}_grad`]: yGrad }
  const found = call(backend, rule.op as KernelName, boundValues(rule, names))
  for (const input of rule.of) {
    const { params } = kernels[rule.op as KernelName]
    const written = params.find((param) => boundBy(rule, param.name) === `${input}_grad`) as Param
    checkDerivative(`${name} by ${input}`, values, input, found[written.name], data, (moved) =>
      dot64(forward(moved), yGrad),
    )
  }
}

/** The arguments of a rule's op, by its own names; what it adds to starts at zero, what it writes is left out. */
function boundValues(rule: GradientRule, names: Values): Values {
  const values: Record<string, Value> = {}
  for (const param of kernels[rule.op as KernelName].params) {
    const bound = boundBy(rule, param.name)
    if (bound === null) values[param.name] = null
    else if (bound in names) values[param.name] = names[bound]
    else {
      const input = rule.of.find((name) => bound === `${name}_grad`)
      if (input === undefined)
        throw new Error(`${rule.op}.${param.name}: expected a name of the forward op, got ${bound}`)
      if (param.kind === 'array' && param.role === 'add')
        values[param.name] = new Float32Array((names[input] as Float32Array).length)
    }
  }
  return values
}

/** Compares a gradient with differences of the loss at some elements of one input. */
export function checkDerivative(
  what: string,
  values: Values,
  input: string,
  gradient: Float32Array,
  data: Data,
  loss: (moved: Values) => number,
): void {
  const x = values[input] as Float32Array
  if (gradient.length !== x.length)
    throw new Error(`${what}: expected ${x.length} numbers, got ${gradient.length}`)
  const elements = data.permutation(x.length).subarray(0, probes)
  for (const i of elements) {
    const at = (shift: number): number => {
      const moved = x.slice()
      moved[i] += shift
      return loss({ ...values, [input]: moved })
    }
    const near = at(step) - at(-step)
    const far = at(2 * step) - at(-2 * step)
    const slope = (8 * near - far) / (12 * step)
    const scale = Math.max(1, Math.abs(slope), Math.abs(loss(values)))
    if (!(Math.abs(gradient[i] - slope) <= tolerance * scale))
      throw new Error(`${what}[${i}]: expected ${slope} by differences, got ${gradient[i]}`)
  }
}

/** Head-major caches [G, C, K] of a whole sequence [T, G, K], by cache_append. */
function cacheOf(backend: Backend, x: Value, { T, C, G, K }: Sizes): Float32Array {
  return call(backend, 'cache_append', { x, P: 0, T, C, H: G, K }).cache
}

/** attention_backward over a whole sequence; the forward pass fills the cache with cache_append. */
export const attentionGradient: BackendLaw = always(
  'attention: attention_backward is the derivative by query, key, value over a whole sequence',
  (backend) => {
    const data = new Data(11)
    for (const [T, C, H, G, K, W, cap] of [
      [1, 1, 1, 1, 1, 1, 0],
      [2, 3, 1, 1, 4, 2, 1.5],
      [5, 5, 3, 3, 17, 5, 0],
      [19, 24, 2, 2, 8, 6, 0],
      [7, 9, 4, 2, 6, 3, 2],
      [5, 5, 3, 1, 17, 5, 1],
      [6, 6, 5, 3, 4, 1, 0],
    ]) {
      const sizes = { T, S: T, W, C, H, G, K }
      const tensor = (name: string, heads: number): Float32Array => data.floats(name, [T, heads, K], 'smooth')
      const values = {
        query: tensor('query', H),
        key: tensor('key', G),
        value: tensor('value', G),
        scale: 0.5 ** 2,
        cap,
        ...sizes,
      }
      const yGrad = tensor('y_grad', H)
      const cached = (inputs: Values): Values => ({
        ...inputs,
        key: cacheOf(backend, inputs.key, sizes),
        value: cacheOf(backend, inputs.value, sizes),
      })
      const found = call(backend, 'attention_backward', { ...cached(values), y_grad: yGrad })
      for (const input of ['query', 'key', 'value'])
        checkDerivative(`attention by ${input}`, values, input, found[`${input}_grad`], data, (moved) =>
          dot64(call(backend, 'attention', cached(moved)).y, yGrad),
        )
    }
  },
)
