/**
 * A program computed in float64 from its formulas, for finite differences that float32 has too few digits for. The operations of OPT
 * and of a Llama without scaled angles, windows and caps.
 */
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { programOf } from '../../src/engine/program.ts'
import { stepsOf, type Parameter, type UnitKind, type Value } from '../../src/spec/program.ts'
import type { HostTensor } from '../../src/tensor/memory_source.ts'

/** A number for each token and place. */
export type Rows = readonly (readonly number[])[]

/** What takes the place of the units of a layer: a function of their numbers at a token. */
export type MapUnits = (
  kind: UnitKind,
  layer: number,
  a: readonly number[],
  token: number,
) => readonly number[]

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const inner = (a: readonly number[], b: readonly number[]): number => sum(a.map((value, i) => value * b[i]))

/** The logits of each token: [T, V]. */
export function logits64(
  { config }: Pick<LanguageModel, 'config'>,
  tensors: ReadonlyMap<string, HostTensor>,
  tokens: Int32Array,
  map: MapUnits = (_kind, _layer, a) => a,
): Rows {
  const numbers = ({ name, offset = 0 }: Parameter): number[] =>
    Array.from((tensors.get(name) as HostTensor).values, (value) => value + offset)
  const matrix = (parameter: Parameter): number[][] => {
    const [rows, columns] = parameter.shape
    const all = numbers(parameter)
    return Array.from({ length: rows }, (_, r) => all.slice(r * columns, (r + 1) * columns))
  }
  const results = new Map<Value, Rows>()
  const compute = (step: Value): Rows => {
    const [x, y, z] = step.of.map((value) => results.get(value) as Rows)
    switch (step.op) {
      case 'tokens':
        return Array.from(tokens, (id) => [id])
      case 'positions':
        return Array.from(tokens, (_, t) => [t + step.offset])
      case 'embedding': {
        const table = matrix(step.weight)
        return x.map(([id]) => table[id])
      }
      case 'layerNorm': {
        const [weight, bias] = [numbers(step.weight), numbers(step.bias)]
        return x.map((row) => {
          const mean = sum(row) / row.length
          const centred = row.map((value) => value - mean)
          const root = Math.sqrt(inner(centred, centred) / row.length + step.epsilon)
          return centred.map((value, i) => (value / root) * weight[i] + bias[i])
        })
      }
      case 'rmsNorm': {
        const weight = numbers(step.weight)
        return x.map((row) => {
          const root = Math.sqrt(inner(row, row) / row.length + step.epsilon)
          return row.map((value, i) => (value / root) * weight[i])
        })
      }
      case 'linear':
      case 'combine': {
        const weight = matrix(step.weight)
        const bias = step.bias ? numbers(step.bias) : weight.map(() => 0)
        return x.map((row) => weight.map((own, o) => inner(own, row) + bias[o]))
      }
      case 'rotate':
        return x.map((row, t) => row.map((_, at) => rotated(step, row, at, t)))
      case 'attention':
        return x.map((query, t) => attend(step, query, y.slice(0, t + 1), z))
      case 'units':
        return x.map((row, t) => map(step.kind, step.layer, row, t))
      case 'add':
        return x.map((row, t) => row.map((value, i) => value + y[t][i]))
      case 'relu':
        return x.map((row) => row.map((value) => Math.max(0, value)))
      case 'gate':
        if (step.activation === 'silu')
          return x.map((row, t) => row.map((value, i) => (value / (1 + Math.exp(-value))) * y[t][i]))
    }
    throw new RangeError(`float64: expected a step of OPT or of a Llama, got ${step.op}`)
  }
  const program = programOf(config)
  for (const step of stepsOf(program)) results.set(step, compute(step))
  return results.get(program) as Rows
}

function rotated(
  { rotary, headSize: K }: Extract<Value, { op: 'rotate' }>,
  row: readonly number[],
  at: number,
  t: number,
): number {
  const half = K / 2
  const i = at % K
  const angle = t * rotary.base ** ((-2 * (i % half)) / K)
  const partner = i < half ? -row[at + half] : row[at - half]
  return row[at] * Math.cos(angle) + partner * Math.sin(angle)
}

/** @param keys those that the token sees */
function attend(
  { headSize: K }: Extract<Value, { op: 'attention' }>,
  query: readonly number[],
  keys: Rows,
  values: Rows,
): number[] {
  const share = keys[0].length / query.length
  return query.map((_, at) => {
    const h = Math.floor(at / K)
    const own = Math.floor(h * share) * K
    const head = query.slice(h * K, (h + 1) * K)
    const weights = keys.map((key) => Math.exp(inner(head, key.slice(own, own + K)) / Math.sqrt(K)))
    return (
      inner(
        weights,
        weights.map((_weight, s) => values[s][own + (at % K)]),
      ) / sum(weights)
    )
  })
}
