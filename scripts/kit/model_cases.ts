/**
 * The cases of models: whole tiny models of each family, their layers, their gradients, and the steps of the method.
 *
 * A model is its program (src/spec/program.ts), so a new family is a row of `models`. Bounds follow the errors of each step
 * through the program. Gradients of models have the measured bounds of src/parity/kinds.ts in place of derived ones, and are not
 * judged in 16 bits.
 */
import { kindOf } from '../../src/parity/kinds.ts'
import { crc32 } from '../../src/platform/platform.ts'
import type { TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { rotaryTable } from '../../src/ops/rotary.ts'
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import { newerFamilies } from '../../src/spec/families.ts'
import { llama, type LlamaConfig } from '../../src/spec/llama.ts'
import { loss, modelOf } from '../../src/spec/model.ts'
import { opt, type OptConfig } from '../../src/spec/opt.ts'
import {
  byHead,
  matrix,
  run,
  tensor,
  type Mask,
  type Tensor,
  type Units,
  type Weights,
} from '../../src/spec/plain.ts'
import { plainact } from '../../src/spec/plainact.ts'
import { features, run as network, type Network } from '../../src/spec/predictor.ts'
import { EPSILON, scoring, stepsOf, type Parameter, type Value } from '../../src/spec/program.ts'
import { selectMask, type Budget } from '../../src/spec/select.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { attend, gated, layerNorm, product, rmsNorm, rotate } from './analyses.ts'
import { Arithmetic, classes, type Near } from './arithmetic.ts'
import type { Expected, KitCase, KitOp } from './case.ts'

/** A model of the kit: a program, and what a kernel must know to compute it. */
interface KitModel {
  readonly family: string
  readonly program: Value
  readonly numbers: Readonly<Record<string, number | string>>
}

const optConfig: OptConfig = {
  layers: 2,
  heads: 3,
  headSize: 8,
  width: 24,
  neurons: 40,
  vocabulary: 33,
  positions: 24,
  embeddingWidth: 24,
  preNorm: true,
  finalNorm: true,
  tied: true,
}
const llamaConfig: LlamaConfig = {
  layers: 2,
  heads: 4,
  keyHeads: 2,
  headSize: 8,
  width: 32,
  neurons: 40,
  vocabulary: 33,
  epsilon: 1e-5,
  rotary: { base: 10_000, scaling: null },
  biases: 'none',
  activation: 'silu',
  tied: false,
}

function ofOpt(change: Partial<OptConfig>): KitModel {
  const config = { ...optConfig, ...change }
  const { layers: L, heads: H, headSize: K, neurons: F } = config
  const forms = { pre_norm: Number(config.preNorm), epsilon: EPSILON }
  return { family: 'opt', program: opt(config), numbers: { L, H, G: H, K, F, ...forms } }
}

function ofLlama(family: string, change: Partial<LlamaConfig>, program = llama): KitModel {
  const config = { ...llamaConfig, ...change }
  const { layers: L, heads: H, keyHeads: G, headSize: K, neurons: F, epsilon, activation } = config
  return { family, program: program(config), numbers: { L, H, G, K, F, epsilon, activation } }
}

/** Small ones of each form, and one whose heads are of 64. */
const models: readonly KitModel[] = [
  ofOpt({}),
  ofOpt({ preNorm: false, finalNorm: false, embeddingWidth: 16 }),
  ofOpt({ layers: 1, heads: 1, headSize: 64, width: 64, embeddingWidth: 64, neurons: 136 }),
  ofLlama('llama', {}),
  ofLlama('llama', { keyHeads: 1, activation: 'relu', biases: 'query-key-value', tied: true }),
  ofLlama('llama', { layers: 1, headSize: 64, neurons: 136 }),
  ...Object.entries(newerFamilies).map(([family, program]) => ofLlama(family, {}, program)),
]

/** Which units a case computes. */
const maskNames = ['none skipped', 'heads', 'neurons', 'both', 'one unit', 'no unit', 'by token'] as const
type MaskName = (typeof maskNames)[number]
/** Those of further forms and families. */
const fewMasks: readonly MaskName[] = ['none skipped', 'both', 'by token']

const LENGTH = 9
/** How many tokens are fed at a time. */
const steps = Int32Array.of(5, 1, 3)

const f32 = (shape: readonly number[], data: Float32Array): TensorToWrite => ({
  dtype: 'F32',
  shape: [...shape],
  data,
})
const ints = (data: Int32Array): TensorToWrite => ({ dtype: 'I32', shape: [data.length], data })
const ofTensor = (x: Tensor): TensorToWrite => f32(x.shape, x.data)

/** The operations of models and of the method. */
export function opsOfModels(): KitOp[] {
  const families = [...new Set(models.map(({ family }) => family))]
  return [
    ...families.flatMap((family) =>
      opsOfFamily(
        family,
        models.filter((model) => model.family === family),
      ),
    ),
    plainactOp(),
    predictOp(),
    selectOp(),
  ]
}

function opsOfFamily(family: string, own: readonly KitModel[]): KitOp[] {
  const whole: KitCase[] = []
  const layers: KitCase[] = []
  const gradients: KitCase[] = []
  for (const [m, { program, numbers }] of own.entries()) {
    const data = new Data(crc32(new TextEncoder().encode(`kit ${family} ${m}`)))
    const weights = drawWeights(program, data)
    const { L, H, F, K } = numbers as Record<string, number>
    const ids = data.ids('ids', LENGTH, 33)
    const first = whole.length
    const firstLayer = layers.length
    const firstGradient = gradients.length
    for (const name of m === 0 && !(family in newerFamilies) ? maskNames : fewMasks) {
      const mask = drawMask(name, data, [L, H, F])
      const setting = { program, weights: weights.weights, ids, mask }
      const inputs = new Map([['ids', ints(ids)], ...tableOf(program), ...maskTensors(mask, [L, H, F])])
      const outputs = expectedOf(setting, namedSteps(program))
      const isFirst = whole.length === first
      const add = (
        list: KitCase[],
        more: ReadonlyMap<string, TensorToWrite>,
        expected: readonly Expected[],
      ): void =>
        void list.push({
          numbers,
          inputs: new Map([...(isFirst ? weights.tensors : []), ...inputs, ...more]),
          outputs: expected,
          ...(isFirst ? {} : { weights: first }),
        })
      add(whole, new Map(), outputs)
      if (isFirst || name === 'both' || name === 'by token') {
        add(whole, new Map([['feeds', ints(steps)]]), outputs.slice(-1))
      }
      layers.push(...layerCases(setting, numbers, isFirst ? weights.tensors : null, firstLayer))
      // Gradients of heads of 64 are a matter of attention_backward.
      if (K < 64 && (name === 'none skipped' || name === 'both'))
        gradients.push(
          gradientCase(setting, numbers, inputs, isFirst ? weights.tensors : null, firstGradient),
        )
    }
  }
  const masks = ['head_mask', 'neuron_mask']
  const table = tableOf(own[0].program).map(([name]) => name)
  return [
    {
      name: family,
      formula:
        'logits of ids; a unit whose mask is 0 is skipped; feeds: so many tokens at a time, after a cache',
      arrays: ['ids', ...table, ...masks, 'feeds'],
      cases: whole,
    },
    {
      name: `${family}_layer`,
      formula: 'y: the stream after one layer, of x before it',
      arrays: ['x', ...table, ...masks],
      cases: layers,
    },
    {
      name: `${family}_gradients`,
      formula: 'the mean loss, its derivatives in each unit, and plainact of each',
      arrays: ['ids', 'labels', ...table, ...masks],
      cases: gradients,
    },
  ]
}

/** Weights by the name they have in a checkpoint, without what all names of a family begin with. */
function drawWeights(program: Value, data: Data): { weights: Weights; tensors: Map<string, TensorToWrite> } {
  const known = new Map<string, Tensor>()
  for (const step of stepsOf(program))
    for (const part of ['weight', 'bias'] as const) {
      const parameter =
        part in step ? ((step as unknown as Record<string, unknown>)[part] as Parameter | null) : null
      if (!parameter || known.has(parameter.name)) continue
      const { shape } = parameter
      const size = shape.length === 1 ? 1 : 1 / Math.sqrt(shape[1])
      const isNorm = step.op.endsWith('Norm') && part === 'weight'
      const numbers = data.numbers(parameter.name, shape, (stream) =>
        isNorm
          ? 0.75 + stream.uniform() / 2
          : (stream.uniform() * 4 - 2) * size * (shape.length === 1 ? 0.25 : 1),
      )
      known.set(parameter.name, tensor(numbers, ...shape))
    }
  const at = ({ name }: Parameter): Tensor => known.get(name) as Tensor
  const turned = (x: Tensor): Tensor => {
    const [rows, columns] = x.shape
    return tensor(
      x.data.map((_, i) => x.data[(i % rows) * columns + Math.floor(i / rows)]),
      columns,
      rows,
    )
  }
  const weights: Weights = {
    vector: at,
    matrix: (parameter, isTurned) => matrix(isTurned ? turned(at(parameter)) : at(parameter)),
  }
  return { weights, tensors: new Map([...known].map(([name, x]) => [`w.${shortName(name)}`, ofTensor(x)])) }
}

function shortName(name: string): string {
  return name.replace(/^model\.(decoder\.)?/, '')
}

function drawMask(name: MaskName, data: Data, [L, H, F]: readonly number[]): Mask {
  if (name === 'none skipped') return null
  const draw = (): Units => {
    const kept = (count: number, isMasked: boolean, l: number): Float32Array =>
      Float32Array.from({ length: count }, (_, unit) =>
        name === 'one unit'
          ? Number(l === 0 && unit === 1)
          : name === 'no unit'
            ? 0
            : Number(!isMasked || data.chance(0.5)),
      )
    const layers = [...Array(L).keys()]
    return {
      heads: layers.map((l) => kept(H, name !== 'neurons', l)),
      neurons: layers.map((l) => kept(F, name !== 'heads', l)),
    }
  }
  return name === 'by token' ? Array.from({ length: LENGTH }, draw) : draw()
}

/** The cosines, then the sines, of each token's position: [T, K]. */
function tableOf(program: Value): [string, TensorToWrite][] {
  const [step] = stepsOf(program).filter(({ op }) => op === 'rotate')
  if (step?.op !== 'rotate') return []
  const table = rotaryTable(step.rotary, LENGTH, step.headSize)
  return [['table', f32([LENGTH, table.length / LENGTH], table)]]
}

/** A mask for each token: [T, L, H] and [T, L, F]. */
function maskTensors(mask: Mask, [L, H, F]: readonly number[]): [string, TensorToWrite][] {
  if (mask === null) return []
  const all = 'heads' in mask ? Array.from({ length: LENGTH }, () => mask) : mask
  const flat = (kind: keyof Units): Float32Array =>
    Float32Array.from(all.flatMap((own) => own[kind].flatMap((layer) => [...layer])))
  return [
    ['head_mask', f32([LENGTH, L, H], flat('heads'))],
    ['neuron_mask', f32([LENGTH, L, F], flat('neurons'))],
  ]
}

/** A model, a text and a mask. */
interface Setting {
  readonly program: Value
  readonly weights: Weights
  readonly ids: Int32Array
  readonly mask: Mask
}

/** The steps that are compared, in their order; the last is the result. */
function namedSteps(end: Value, last = 'logits'): [string, Value][] {
  return stepsOf(end).flatMap((step): [string, Value][] => {
    if (step === end) return [[last, step]]
    if (step.op === 'units') return [[`${step.kind}.${step.layer}`, step]]
    return step.tap?.startsWith('stream') ? [[step.tap.replace(' ', '.'), step]] : []
  })
}

/** What each step gives, and its bounds. @param start the values that are given, such as the stream before a layer */
function expectedOf(
  { program, weights, ids, mask }: Setting,
  named: readonly [string, Value][],
  end = program,
  start?: Value,
): Expected[] {
  const results = run(program, weights, ids, { mask })
  const known = { results, weights, ids, mask }
  const runs = classes.map((className) => {
    const a = new Arithmetic(className, 'likely')
    return { className, a, nears: nearsOf(end, a, known, start) }
  })
  return named.map(([name, step]) => {
    const result = results.get(step) as Tensor
    const bounds = Object.fromEntries(
      runs.flatMap(({ className, a, nears }) => {
        const own = nears?.get(step)
        return own ? [[className, a.boundsOf(result.data, own)]] : []
      }),
    )
    return { name, tensor: ofTensor(result), isTrace: step !== end, bounds }
  })
}

/** What is known of a run. */
interface Run {
  readonly results: ReadonlyMap<Value, Tensor>
  readonly weights: Weights
  readonly ids: Int32Array
  readonly mask: Mask
}

/** Every step in the arithmetic of a class; null where a step has no formula there. */
function nearsOf(
  end: Value,
  a: Arithmetic,
  { results, weights, ids, mask }: Run,
  start?: Value,
): Map<Value, readonly Near[]> | null {
  const T = ids.length
  const known = new Map<Value, readonly Near[]>()
  const store = (numbers: Float32Array): Near[] => Array.from(numbers, (v) => a.stored({ v, e: 0 }))
  const vector = (parameter: Parameter): Near[] => store(weights.vector(parameter).data)
  const stored = (parameter: Parameter): Near[] => store(weights.matrix(parameter, false).widen().data)
  for (const step of stepsOf(end)) {
    const [x, y, z] = step.of.map((value) => known.get(value) as readonly Near[])
    const width = step.of[0]?.width ?? 0
    const compute = (): readonly Near[] | null => {
      if (step === start) return store((results.get(step) as Tensor).data)
      switch (step.op) {
        case 'tokens':
        case 'positions':
          return Array.from((results.get(step) as Tensor).data, (v) => ({ v, e: 0 }))
        case 'embedding': {
          const table = stored(step.weight)
          return x.flatMap(({ v }) => table.slice(v * step.width, (v + 1) * step.width))
        }
        case 'layerNorm':
          return layerNorm(a, x, vector(step.weight), vector(step.bias), step.epsilon, T, width)
        case 'rmsNorm': {
          const [size] = step.weight.shape
          return rmsNorm(a, x, vector(step.weight), step.epsilon, x.length / size, size)
        }
        case 'linear':
        case 'combine':
          // A row for each output in both: the terms are the same.
          return product(a, x, stored(step.weight), step.bias && vector(step.bias), [T, step.width, width], {
            sequential: step.op === 'combine',
          })
        case 'rotate': {
          const table = rotaryTable(step.rotary, T, step.headSize)
          return rotate(a, x, store(table), step.width / step.headSize, table.length / T, step.headSize)
        }
        case 'attention': {
          const { headSize: K, scale, cap, window: W } = scoring(step, T)
          const [H, G] = [step.width / K, step.of[1].width / K]
          const places = byHead(tensor(Float32Array.from(y.keys()), T, G * K), K)
          const [keys, values] = [y, z].map((all) => Array.from(places, (place) => all[place]))
          return attend(a, x, keys, values, { T, S: T, C: T, H, G, K, W, cap, scale: Math.fround(scale) })
        }
        case 'units': {
          const K = step.width / step.count
          const factor = (t: number, unit: number): number => {
            if (mask === null) return 1
            return ('heads' in mask ? mask : mask[t])[step.kind][step.layer][unit]
          }
          return x.map((near, i) =>
            a.mul(near, a.exactly(factor(Math.floor(i / step.width), Math.floor((i % step.width) / K)))),
          )
        }
        case 'add':
          return x.map((near, i) => a.add(near, y[i]))
        case 'relu':
          return x.map((near) => a.positive(near))
        case 'gate':
          return gated(a, step.activation, x, y)
        default:
          return null
      }
    }
    const found = step.of.every((value) => known.has(value)) || step === start ? compute() : null
    if (found === null) return null
    known.set(step, ['tokens', 'positions'].includes(step.op) ? found : found.map((near) => a.stored(near)))
  }
  return known
}

/** Each layer by itself, from the stream before it. */
function layerCases(
  setting: Setting,
  numbers: KitModel['numbers'],
  tensors: ReadonlyMap<string, TensorToWrite> | null,
  first: number,
): KitCase[] {
  const { program, mask } = setting
  const results = run(program, setting.weights, setting.ids, { mask })
  const stream = (l: number): Value => stepsOf(program).find(({ tap }) => tap === `stream ${l}`) as Value
  return Array.from({ length: numbers.L as number }, (_, l): KitCase => {
    const [start, end] = [stream(l), stream(l + 1)]
    // The layer reads its stream and nothing before it.
    const before = new Set(stepsOf(start))
    const named = namedSteps(end, 'y').filter(([, step]) => !before.has(step))
    const own = [...(tensors ?? [])].filter(([name]) => name.startsWith(`w.layers.${l}.`))
    const masks = maskTensors(mask, [numbers.L, numbers.H, numbers.F] as number[]).map(
      ([name, { data, shape }]): [string, TensorToWrite] => {
        const [T, L, U] = shape
        const part = Float32Array.from(
          { length: T * U },
          (_, i) => (data as Float32Array)[(Math.floor(i / U) * L + l) * U + (i % U)],
        )
        return [name, f32([T, U], part)]
      },
    )
    return {
      numbers,
      inputs: new Map([
        ['x', ofTensor(results.get(start) as Tensor)],
        ...tableOf(program),
        ...masks,
        ...own.map(([name, x]): [string, TensorToWrite] => [name.replace(`layers.${l}.`, ''), x]),
      ]),
      outputs: expectedOf(setting, named, end, start).map((output) => ({
        ...output,
        name: output.name.replace(/\.\d+$/, ''),
      })),
      ...(tensors ? {} : { weights: first + l }),
    }
  })
}

/** The classes in which a measured bound holds. */
const inFloat32 = classes.filter((name) => name !== 'bf16' && name !== 'f16')

/** A number of a gradient, held to the measured bound of its kind. */
function measured(name: string, kind: string, result: TensorToWrite): Expected {
  const { tolerance } = kindOf(kind)
  const data = result.data as Float32Array
  const most = data.reduce((size, x) => Math.max(size, Math.abs(x)), 0)
  const bound = new Float64Array(data.length).fill(tolerance * most)
  return {
    name,
    tensor: result,
    bounds: Object.fromEntries(inFloat32.map((className) => [className, bound])),
  }
}

function gradientCase(
  { program, weights, ids, mask }: Setting,
  numbers: KitModel['numbers'],
  inputs: ReadonlyMap<string, TensorToWrite>,
  tensors: ReadonlyMap<string, TensorToWrite> | null,
  first: number,
): KitCase {
  const model = modelOf(program, weights)
  const labels = ids.map((_, t) => (t + 1 < ids.length && t !== 2 ? ids[t + 1] : NOT_SCORED))
  const pass = model.forward(ids, mask)
  const grads = pass.backward(labels)
  const scores = plainact(pass.layers, grads, model.heads)
  const table = (rows: readonly Float32Array[]): TensorToWrite =>
    f32([rows.length, rows[0].length], Float32Array.from(rows.flatMap((row) => [...row])))
  const outputs = [
    measured('loss', 'loss', f32([1], Float32Array.of(loss(pass.logits, labels)))),
    ...grads.flatMap(({ context, activation }, l) => [
      measured(`heads_grad.${l}`, 'head_out_grad', ofTensor(context)),
      measured(`neurons_grad.${l}`, 'ffn_act_grad', ofTensor(activation)),
    ]),
    measured('plainact_heads', 'crit.plainact_head', table(scores.heads)),
    measured('plainact_neurons', 'crit.plainact_ffn', table(scores.neurons)),
  ]
  return {
    numbers,
    inputs: new Map([...(tensors ?? []), ...inputs, ['labels', ints(labels)]]),
    outputs,
    ...(tensors ? {} : { weights: first }),
  }
}

/** Bounds of a result by class, from what the arithmetic of each makes of it. */
function boundsBy(result: Float32Array, of: (a: Arithmetic) => readonly Near[]): Expected['bounds'] {
  return Object.fromEntries(
    classes.map((name) => {
      const a = new Arithmetic(name)
      return [name, a.boundsOf(result, of(a))]
    }),
  )
}

const nearsIn = (a: Arithmetic, x: Tensor): Near[] => Array.from(x.data, (v) => a.stored({ v, e: 0 }))

function plainactOp(): KitOp {
  const data = new Data(crc32(new TextEncoder().encode('kit plainact')))
  const cases = [
    [1, 1, 8],
    [5, 3, 8],
    [9, 2, 64],
    [7, 40, 1],
    [3, 129, 1],
  ].map(([T, U, K]): KitCase => {
    const [a, g] = ['a', 'g'].map((name) => tensor(data.floats(name, T * U * K), T, U * K))
    const scores = plainact([{ context: a, activation: a }], [{ context: g, activation: g }], U).heads[0]
    const bounds = boundsBy(scores, (arithmetic) => {
      const [x, y] = [nearsIn(arithmetic, a), nearsIn(arithmetic, g)]
      return Array.from(scores, (_, u) =>
        arithmetic.sum(
          T,
          (t) => arithmetic.abs(arithmetic.dot(K, x, (t * U + u) * K, y, (t * U + u) * K)),
          false,
        ),
      )
    })
    return {
      numbers: { T, U, K },
      inputs: new Map([
        ['a', ofTensor(a)],
        ['g', ofTensor(g)],
      ]),
      outputs: [{ name: 'scores', tensor: f32([U], scores), bounds }],
    }
  })
  return {
    name: 'plainact',
    formula: 'scores[u] = sum over t of |<a[t, u], g[t, u]>|',
    arrays: ['a', 'g'],
    cases,
  }
}

function predictOp(): KitOp {
  const data = new Data(crc32(new TextEncoder().encode('kit predict')))
  const cases = [
    [4, 24, 7, 10],
    [9, 128, 33, 129],
  ].map(([T, D, R, O]): KitCase => {
    const draw = (name: string, size: number, ...shape: number[]): Tensor =>
      tensor(
        data.floats(name, shape).map((x) => x * size),
        ...shape,
      )
    const context = draw('context', 1, T, D)
    const net: Network = [
      draw('w1', D ** -0.5, R, D),
      draw('b1', 1, R),
      draw('w2', R ** -0.5, O, R),
      draw('b2', 1, O),
    ]
    const scores = network(net, features(context, 'standard')).y
    const bounds = boundsBy(scores.data, (a) => {
      const [w1, b1, w2, b2] = net.map((x) => nearsIn(a, x))
      const ones = Array.from({ length: D }, () => a.exactly(1))
      const zeros = ones.map(() => a.exactly(0))
      const f = layerNorm(a, nearsIn(a, context).slice((T - 1) * D), ones, zeros, EPSILON, 1, D)
      const hidden = product(
        a,
        f.map((near) => a.stored(near)),
        w1,
        b1,
        [1, R, D],
      )
      return product(
        a,
        hidden.map((near) => a.stored(a.positive(near))),
        w2,
        b2,
        [1, O, R],
      )
    })
    return {
      numbers: { T, D, R, O, epsilon: EPSILON },
      inputs: new Map([
        ['context', ofTensor(context)],
        ...['w1', 'b1', 'w2', 'b2'].map((name, i): [string, TensorToWrite] => [name, ofTensor(net[i])]),
      ]),
      outputs: [{ name: 'scores', tensor: f32([O], scores.data), bounds }],
    }
  })
  return {
    name: 'predict',
    formula: 'scores = relu(f w1ᵀ + b1) w2ᵀ + b2; f: the last row of context to mean 0 and variance 1',
    arrays: ['context', 'w1', 'b1', 'w2', 'b2'],
    cases,
  }
}

function selectOp(): KitOp {
  const data = new Data(crc32(new TextEncoder().encode('kit select')))
  const cases = (['global', 'per-layer', 'hybrid'] as const).flatMap((scope) =>
    [0, 0.3, 0.5, 0.9, 1].map((sparsity): KitCase => {
      const [L, H, F] = [4, 6, 70]
      const draw = (U: number): Float32Array[] =>
        Array.from({ length: L }, () => data.floats('scores', U, 'ties'))
      const scores = { heads: draw(H), neurons: draw(F) }
      const budget: Budget = { sparsity, scope, policy: 'exact' }
      const mask = selectMask(scores, budget)
      const flat = (rows: readonly Float32Array[]): Float32Array =>
        Float32Array.from(rows.flatMap((row) => [...row]))
      const output = (kind: keyof Units, U: number): Expected => ({
        name: `${kind}_mask`,
        tensor: { dtype: 'I32', shape: [L, U], data: Int32Array.from(flat(mask[kind])) },
        bounds: Object.fromEntries(classes.map((name) => [name, null])),
      })
      return {
        numbers: { L, H, F, sparsity, scope },
        inputs: new Map([
          ['heads', f32([L, H], flat(scores.heads))],
          ['neurons', f32([L, F], flat(scores.neurons))],
        ]),
        outputs: [output('heads', H), output('neurons', F)],
      }
    }),
  )
  return {
    name: 'select',
    formula: 'the units that stay at a sparsity and scope (src/spec/select.ts)',
    arrays: ['heads', 'neurons'],
    cases,
  }
}
