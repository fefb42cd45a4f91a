/**
 * A model without the units that a mask skips is the masked model; with moments, it is the dense model in which the skipped units
 * are what the kept ones say of them.
 *
 * Tests src/compensation/moments.ts, src/compensation/moments_file.ts and src/compensation/smaller_model.ts.
 */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { foldSkipped } from '../../src/compensation/fold.ts'
import {
  MomentSums,
  momentWidths,
  type LayerMoments,
  type MomentTables,
} from '../../src/compensation/moments.ts'
import {
  openMoments,
  readSums,
  writeMoments,
  writeSums,
  type MomentsOrigin,
} from '../../src/compensation/moments_file.ts'
import { smallerModel } from '../../src/compensation/smaller_model.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { programOf } from '../../src/engine/program.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import { encodeSafetensors, writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { denseMask, makeMask, type UnitKind, type UnitMask } from '../../src/masks/mask.ts'
import { run, tensor, type Setting } from '../../src/spec/plain.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import { concatenate } from '../../src/tensor/concatenate.ts'
import type { RawTensorSource, TensorInfo } from '../../src/tensor/tensor_source.ts'
import { rms_norm } from '../../src/ops/rms_norm.ts'
import { owesBits } from '../../src/testing/op_agreement.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { plainModel, plainWeights } from '../../src/verify/model/plain_model.ts'
import {
  configOf,
  feedOnce,
  maskOf,
  roomyModel,
  shareOfModels,
  tensorsOf,
  tokensOf,
} from '../engine/cases.ts'
import { overBackends, shareOfCases } from '../harness/backends.ts'
import { anyData, kills, lawForAll, someOf, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { saidOfSkipped } from './least_squares.ts'

const folder = temporaryFolder()
const path = join(folder, 'moments.safetensors')
const ridge = 0.1

type Tensors = ReadonlyMap<string, HostTensor>

/** What is judged: a backend, how moments are added up on it, and how a model is made smaller. */
interface Subject {
  readonly backend: Backend
  readonly sumsOf: (model: LanguageModel, begun: readonly LayerMoments[] | null) => MomentSums
  readonly smaller: typeof smallerModel
}

const subjectOf = (backend: Backend): Subject => ({
  backend,
  sumsOf: (model, begun) => new MomentSums(model, begun),
  smaller: smallerModel,
})

const sourceOf = (tensors: Tensors): RawTensorSource => memorySource(tensors) as RawTensorSource

async function withModel<Result>(
  backend: Backend,
  config: ModelConfig,
  source: RawTensorSource,
  work: (model: LanguageModel) => Result | Promise<Result>,
): Promise<Result> {
  const model = await LanguageModel.load(config, source, backend)
  try {
    return await work(model)
  } finally {
    model.dispose()
  }
}

/** The sums over these windows. */
async function sumsOver(
  { sumsOf }: Subject,
  model: LanguageModel,
  windows: readonly Int32Array[],
  begun: readonly LayerMoments[] | null = null,
): Promise<LayerMoments[]> {
  const sums = sumsOf(model, begun)
  try {
    for (const window of windows) sums.add(window)
    return Array.from({ length: model.config.layers }, (_, l) => sums.layer(l))
  } finally {
    sums.dispose()
  }
}

const origin = (windows: readonly Int32Array[]): MomentsOrigin => ({
  model: 'a'.repeat(64),
  calibration: 'b'.repeat(64),
  windows: windows.length,
  tokens: windows.reduce((sum, { length }) => sum + length, 0),
})

/** The names of the matrix that adds up units of a kind, and how many numbers a unit has. */
const readers: Readonly<Record<UnitKind, RegExp>> = {
  heads: /layers\.(\d+)\.self_attn\.(?:o|out)_proj\.weight$/,
  neurons: /layers\.(\d+)\.(?:mlp\.down_proj|fc2)\.weight$/,
}
const columnsOf = (config: ModelConfig, mask: UnitMask, kind: UnitKind, layer: number): number[] => {
  const size = kind === 'heads' ? config.headSize : 1
  const units = mask.shape[kind]
  return Array.from({ length: units * size }, (_, c) => c).filter(
    (c) => mask[kind][layer * units + Math.floor(c / size)] === 1,
  )
}

const sizes = { drawn: roomyModel, data: anyData }

/** Files whose units are ranked by nothing. */
const noWorths = (): Float32Array => new Float32Array(0)

/** The configuration of a smaller model. */
const withUnits = (config: ModelConfig, units: ReturnType<typeof smallerModel>['units']): ModelConfig =>
  makeConfig({ ...config, ...units })

/** Equal bits where a backend owes them. */
function sameResults(backend: Backend, what: string, actual: Float32Array, expected: Float32Array): void {
  if (owesBits(backend)) sameBits(what, actual, expected)
  else near(what, actual, expected, 1e-2 * (1 + largest(expected)))
}
const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0)

const laws = {
  sums: lawForAll(
    'moments are sums over tokens of products of the specification, in their order, whether or not they are begun again; tokens of neurons are divided by their root mean square',
    sizes,
    async (subject: Subject, { drawn, data }) => {
      const { backend } = subject
      const [config, tensors] = [configOf(drawn), tensorsOf(drawn)]
      const windows = [0, 1, 2].map((w) =>
        data.ids(`window ${w}`, data.whole(`length ${w}`, 1, config.positions), config.vocabulary),
      )
      const plain = plainModel(config, tensors, 'f32', 'f32')
      await withModel(backend, config, sourceOf(tensors), async (model) => {
        const whole = await sumsOver(subject, model, windows)
        const cut = data.whole('cut', 0, windows.length)
        const first = await sumsOver(subject, model, windows.slice(0, cut))
        await writeSums(path, origin(windows), config.layers, (l) => first[l])
        const { sums } = await readSums(path, config.layers, momentWidths(config))
        const rest = await sumsOver(subject, model, windows.slice(cut), sums)
        const passes = windows.map((window) => plain.forward(window, null).layers)
        for (let l = 0; l < config.layers; l++)
          for (const kind of ['heads', 'neurons'] as const) {
            for (const table of ['first', 'second'] as const)
              sameResults(backend, 'begun again', rest[l][kind][table], whole[l][kind][table])
            const N = momentWidths(config)[kind]
            const expected = new Float32Array(N * N)
            const first = new Float32Array(N)
            for (const pass of passes) {
              const { data: a, shape } = kind === 'heads' ? pass[l].context : pass[l].activation
              const b = a.slice()
              if (kind === 'neurons') rms_norm(b, a, new Float32Array(N).fill(1), 1e-6, shape[0], N)
              for (let t = 0; t < shape[0]; t++)
                for (let i = 0; i < N; i++) {
                  first[i] += a[t * N + i]
                  for (let j = 0; j < N; j++) expected[i * N + j] += Math.fround(b[t * N + i] * b[t * N + j])
                }
            }
            sameResults(backend, `${kind} of layer ${l}`, whole[l][kind].second, expected)
            sameResults(backend, `sums of ${kind} of layer ${l}`, whole[l][kind].first, first)
          }
      })
    },
    { runs: 30 },
  ),
  masked: lawForAll(
    'a smaller model without moments computes what the masked model does',
    sizes,
    async ({ backend, smaller }: Subject, { drawn, data }) => {
      const [config, tensors] = [configOf(drawn), tensorsOf(drawn)]
      const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
      const made = smaller({ configJson: {}, source: sourceOf(tensors) }, config, mask, null)
      const actual = await withModel(backend, withUnits(config, made.units), made.source, (model) =>
        feedOnce(model, tokens),
      )
      const expected = await withModel(backend, config, sourceOf(tensors), (model) =>
        feedOnce(model, tokens, { mask }),
      )
      sameResults(backend, 'logits', actual, expected)
    },
  ),
  compensated: lawForAll(
    'a smaller model with moments is the dense model in which skipped units are B times the kept ones',
    sizes,
    async (subject: Subject, { drawn, data }) => {
      const { backend, smaller } = subject
      const [config, tensors] = [configOf(drawn), tensorsOf(drawn)]
      const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
      const windows = [0, 1].map((w) => data.ids(`window ${w}`, config.positions, config.vocabulary))
      const sums = await withModel(backend, config, sourceOf(tensors), (model) =>
        sumsOver(subject, model, windows),
      )
      await writeMoments(path, origin(windows), config.layers, (l) => sums[l], noWorths)
      const moments = await openMoments(path)
      try {
        const compensation = { moments, ridge }
        const made = smaller({ configJson: {}, source: sourceOf(tensors) }, config, mask, compensation)
        const actual = await withModel(backend, withUnits(config, made.units), made.source, (model) =>
          feedOnce(model, tokens),
        )
        // The same as the masked model whose matrices are folded one by one.
        const folded = new Map<string, HostTensor>()
        const said = new Map<string, ReturnType<typeof saidOfSkipped>>()
        for (const [name, one] of tensors) {
          const kind = (['heads', 'neurons'] as const).find((of) => readers[of].test(name))
          folded.set(name, one)
          if (!kind) continue
          const layer = Number(readers[kind].exec(name)?.[1])
          const N = momentWidths(config)[kind]
          const kept = columnsOf(config, mask, kind, layer)
          const second = await moments.read(kind, layer, N)
          said.set(`${kind} ${layer}`, saidOfSkipped(second, N, kept, ridge))
          const values = foldSkipped(one.values, second, Int32Array.from(kept), ridge)
          folded.set(name, { ...one, values })
        }
        const masked = await withModel(backend, config, sourceOf(folded), (model) =>
          feedOnce(model, tokens, { mask }),
        )
        sameResults(backend, 'folded and masked', actual, masked)
        // And as the specification, densely, with B between the units and the matrix that adds them up.
        const keep: Setting['keep'] = (step, x) => {
          if (step.op !== 'units') return x
          const { skipped, B } = said.get(`${step.kind} ${step.layer}`) as ReturnType<typeof saidOfSkipped>
          const kept = columnsOf(config, mask, step.kind, step.layer)
          const [T, N] = x.shape
          const mapped = x.data.slice()
          for (let t = 0; t < T; t++)
            for (const [s, at] of skipped.entries())
              mapped[t * N + at] = kept.reduce((sum, from, k) => sum + B[s][k] * x.data[t * N + from], 0)
          return tensor(mapped, T, N)
        }
        const program = programOf(config)
        const dense = run(program, plainWeights(tensors, 'f32'), tokens, { keep }).get(program)
        const expected = dense?.data as Float32Array
        near('logits', actual, expected, 1e-2 * (1 + largest(expected)))
      } finally {
        await moments.close()
      }
    },
  ),
}

describe('laws of smaller models', () =>
  overBackends((backend) => {
    const share = shareOfCases(backend) * shareOfModels(backend)
    for (const law of Object.values(laws)) stateLaw(someOf(law, share), subjectOf(backend))
  }))

describe('mutants are killed:', () => {
  const right = subjectOf(new ReferenceBackend())
  /** A window added in another way. */
  const adding =
    (change: (tokens: Int32Array) => Int32Array): Subject['sumsOf'] =>
    (model, begun) =>
      new (class extends MomentSums {
        override add(tokens: Int32Array): void {
          super.add(change(tokens))
        }
      })(model, begun)
  const masking =
    (change: (mask: UnitMask) => UnitMask): Subject['smaller'] =>
    (from, config, mask, compensation) =>
      smallerModel(from, config, change(mask), compensation)
  const turned = (table: Float32Array, by: number): Float32Array =>
    table.map((_, i) => table[(i + by) % table.length])
  const compensating =
    (
      change: (
        of: NonNullable<Parameters<typeof smallerModel>[3]>,
        layers: number,
      ) => Parameters<typeof smallerModel>[3],
    ): Subject['smaller'] =>
    (from, config, mask, compensation) =>
      smallerModel(from, config, mask, compensation && change(compensation, config.layers))

  test.each(
    Object.entries<Subject['sumsOf']>({
      'begun anew': (model) => new MomentSums(model),
      'without the first token of longer windows': adding((tokens) =>
        tokens.subarray(Math.min(1, tokens.length - 1)),
      ),
      'tokens in another order': adding((tokens) => tokens.toReversed()),
    }),
  )('sums: %s', (_, sumsOf) => kills(laws.sums, { ...right, sumsOf }))

  test.each(
    Object.entries<Subject['smaller']>({
      'the units of the next place': masking(({ shape, heads, neurons }) =>
        makeMask(shape, turned(heads, 1), turned(neurons, 1)),
      ),
      'all heads': masking(({ shape, neurons }) => makeMask(shape, denseMask(shape).heads, neurons)),
      'the neurons of the next layer': masking(({ shape, heads, neurons }) =>
        makeMask(shape, heads, turned(neurons, shape.neurons)),
      ),
    }),
  )('masked: %s', (_, smaller) => kills(laws.masked, { ...right, smaller }))

  test.each(
    Object.entries<Subject['smaller']>({
      'zeros in place of what is skipped': compensating(() => null),
      'a ridge of ten times the size': compensating((of) => ({ ...of, ridge: 10 * of.ridge })),
      'the moments of the last layer': compensating((of, layers) => {
        const { moments } = of
        const read: typeof moments.read = (kind, _layer, N) => moments.read(kind, layers - 1, N)
        return { ...of, moments: Object.assign(Object.create(moments) as typeof moments, { read }) }
      }),
    }),
  )('compensated: %s', (_, smaller) => kills(laws.compensated, { ...right, smaller }))
})

// ---- The form of the result ---------------------------------------------------------------------------------------

test.each([
  // Heads of two groups of three: one of the first group stays, and two of the second.
  ['llama', [1, 0, 0, 0, 1, 1], { heads: 4, keyHeads: 2, neurons: 3 }],
  ['llama', [0, 0, 0, 1, 1, 1], { heads: 3, keyHeads: 1, neurons: 3 }],
  ['llama', [1, 1, 1, 1, 1, 1], { heads: 6, keyHeads: 2, neurons: 3 }],
  ['llama', [0, 0, 0, 0, 0, 0], { heads: 1, keyHeads: 1, neurons: 3 }],
  ['qwen3', [1, 1, 0, 1, 0, 1], { heads: 4, keyHeads: 2, neurons: 3 }],
  ['olmo2', [1, 1, 0, 1, 0, 1], { heads: 6, keyHeads: 2, neurons: 3 }],
  ['opt', [1, 1, 0, 1, 0, 1], { heads: 6, keyHeads: 6, neurons: 3 }],
] as const)('%s with heads %j has %j', (family, heads, units) => {
  const sizesOf = { layers: 1, width: 12, heads: 6, neurons: 5, vocabulary: 7, positions: 4 }
  const config = makeConfig({ ...sizesOf, family, keyHeads: family === 'opt' ? 6 : 2 })
  const mask = makeMask(config, Float32Array.from(heads), Float32Array.of(1, 0, 1, 0, 1))
  const tensors = initialWeights(config)
  const from = { configJson: { model_type: family, other: 1 }, source: sourceOf(tensors) }
  const made = smallerModel(from, config, mask, null)
  expect(made.units).toEqual(units)
  const ffn = family === 'opt' ? { ffn_dim: 3 } : { intermediate_size: 3 }
  const fewer = units.heads < 6 && {
    num_attention_heads: units.heads,
    num_key_value_heads: units.keyHeads,
    head_dim: 2,
  }
  expect(made.configJson).toEqual({ model_type: family, other: 1, ...ffn, ...fewer })
})

/** Tensors in half precision, those that read the same as one, as Phi-3 has them. */
function fusedHalves(tensors: Tensors): Uint8Array<ArrayBuffer> {
  const fused: readonly (readonly [RegExp, string])[] = [
    [/(?<=self_attn\.)[qkv]_proj/, 'qkv_proj'],
    [/(?<=mlp\.)(?:gate|up)_proj/, 'gate_up_proj'],
  ]
  const parts = new Map<string, HostTensor[]>()
  for (const [name, one] of tensors) {
    const [, to] = fused.find(([own]) => own.test(name)) ?? []
    const whole = to ? name.replace(/[a-z]+_proj/, to) : name
    parts.set(whole, [...(parts.get(whole) ?? []), one])
  }
  return encodeSafetensors(
    new Map(
      [...parts].map(([name, own]) => {
        const rows = own.reduce((sum, { shape }) => sum + shape[0], 0)
        const data = concatenate(
          Float32Array,
          own.map(({ values }) => values),
        )
        return [name, { dtype: 'F16', shape: [rows, ...own[0].shape.slice(1)], data }]
      }),
    ),
  )
}

test('rows that stand in one tensor are chosen there, and keep their type; what is not of a layer stays', async () => {
  const sizesOf = { layers: 2, width: 12, heads: 6, keyHeads: 3, neurons: 5, vocabulary: 7, positions: 4 }
  const config = makeConfig({ ...sizesOf, family: 'llama' })
  const file = fusedHalves(initialWeights(config, { deviation: 0.5 }))
  const heads = Float32Array.of(1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0)
  const mask = makeMask(config, heads, Float32Array.of(1, 0, 1, 0, 1, 0, 0, 0, 1, 1))
  const source = await parseSafetensors(file, 'fused')
  const made = smallerModel({ configJson: {}, source }, config, mask, null)
  expect(made.units).toEqual({ heads: 4, keyHeads: 2, neurons: 3 })
  const shapeOf = (name: string): unknown => {
    const { dtype, shape } = made.source.tensors.get(`model.${name}.weight`) as TensorInfo
    return [dtype, ...shape]
  }
  expect(shapeOf('layers.1.self_attn.qkv_proj')).toEqual(['F16', 16, 12])
  expect(shapeOf('layers.1.mlp.gate_up_proj')).toEqual(['F16', 6, 12])
  expect(shapeOf('layers.1.mlp.down_proj')).toEqual(['F16', 12, 3])
  const same = await source.readRaw('model.embed_tokens.weight')
  expect(await made.source.readRaw('model.embed_tokens.weight')).toEqual(same)
  const backend = new ReferenceBackend()
  const tokens = Int32Array.of(1, 5, 2, 2)
  const expected = await withModel(backend, config, source, (model) => feedOnce(model, tokens, { mask }))
  const smaller = withUnits(config, made.units)
  const actual = await withModel(backend, smaller, made.source, (model) => feedOnce(model, tokens))
  sameBits('logits', actual, expected)
})

// ---- Files --------------------------------------------------------------------------------------------------------

/** A file of one layer of these moments [2, 2] and [3, 3]. */
async function withMoments<Result>(
  heads: readonly number[],
  neurons: readonly number[],
  work: (moments: Awaited<ReturnType<typeof openMoments>>) => Promise<Result>,
): Promise<Result> {
  const tables = (second: readonly number[]): MomentTables<Float32Array> => ({
    first: new Float32Array(Math.sqrt(second.length)),
    second: Float32Array.from(second),
  })
  const sums = { heads: tables(heads), neurons: tables(neurons) }
  await writeMoments(path, { ...origin([]), windows: 1, tokens: 4 }, 1, () => sums, noWorths)
  const moments = await openMoments(path)
  try {
    return await work(moments)
  } finally {
    await moments.close()
  }
}

test('moments are read back, off by the rounding of a correlation to int16', async () => {
  const neurons = [4, 1, 0, 1, 9, 0, 0, 0, 0]
  await withMoments([1, 1, 1, 1], neurons, async (moments) => {
    expect(moments.origin).toEqual({ ...origin([]), windows: 1, tokens: 4 })
    expect(await moments.read('heads', 0, 2)).toEqual(Float64Array.of(0.25, 0.25, 0.25, 0.25))
    const read = await moments.read('neurons', 0, 3)
    near(
      'moments',
      read,
      neurons.map((value) => value / 4),
      (2 ** -16 * 6) / 4,
    )
    expect(read[2]).toBe(0)
    // Wherever it fails, the tensor is named.
    for (const [layer, count, code] of [
      [0, 4, 'TENSOR_SHAPE'],
      [1, 3, 'TENSOR_MISSING'],
    ] as const)
      await expect(moments.read('neurons', layer, count)).rejects.toMatchObject({
        code,
        tensor: expect.stringContaining(`neurons.${layer}.`),
      })
  })
})

test('a correlation that rounding of sums put past 1 is written as 1', () =>
  withMoments([4, -4.125, -4.125, 4], [1, 0, 0, 0, 1, 0, 0, 0, 1], async (moments) => {
    expect(await moments.read('heads', 0, 2)).toEqual(Float64Array.of(1, -1, -1, 1))
  }))

test('moments that λ does not make positive definite are refused', async () => {
  const config = makeConfig({
    family: 'llama',
    layers: 1,
    width: 2,
    heads: 1,
    neurons: 4,
    vocabulary: 3,
    positions: 2,
  })
  const mask = makeMask(config, Float32Array.of(1), Float32Array.of(1, 1, 1, 0))
  // Correlations of 1, 1 and -1, which no activations have.
  const neurons = [1, 1, 1, 0, 1, 1, -1, 0, 1, -1, 1, 0, 0, 0, 0, 1]
  await withMoments([1, 0, 0, 1], neurons, async (moments) => {
    const from = { configJson: {}, source: sourceOf(initialWeights(config)) }
    const read = (ridge: number): Promise<Float32Array> =>
      smallerModel(from, config, mask, { moments, ridge }).source.read('model.layers.0.mlp.down_proj.weight')
    await expect(read(0.1)).rejects.toMatchObject({ code: 'MOMENTS_RIDGE' })
    expect((await read(3)).length).toBe(6)
  })
})

test.each([
  ['MOMENTS_FORMAT', { format: 'other' }, 1, 0],
  ['MOMENTS_FORMAT', { windows: '0' }, 1, 0],
  ['MOMENTS_FORMAT', { tokens: '-1' }, 1, 0],
  ['MOMENTS_FORMAT', { model: 'x' }, 1, 0],
  ['MOMENTS_VALUE', {}, -1, 0],
  ['MOMENTS_VALUE', {}, 1, -32_768],
  ['MOMENTS_VALUE', {}, Infinity, 0],
] as const)(
  '%s: a file with %j, a mean square of %d and a correlation of %d',
  async (code, entries, square, correlation) => {
    await writeSafetensors(
      path,
      new Map([
        ['heads.0.squares', { dtype: 'F32', shape: [2], data: Float32Array.of(square, 1) }],
        ['heads.0.means', { dtype: 'F32', shape: [2], data: new Float32Array(2) }],
        ['heads.0.correlations', { dtype: 'I32', shape: [1], data: Int32Array.of(correlation) }],
      ]),
      {
        format: 'shadowllm-moments-2',
        model: 'a'.repeat(64),
        calibration: 'b'.repeat(64),
        windows: '1',
        tokens: '1',
        ...entries,
      },
    )
    const read = async (): Promise<unknown> => {
      const moments = await openMoments(path)
      try {
        return await moments.read('heads', 0, 2)
      } finally {
        await moments.close()
      }
    }
    await expect(read()).rejects.toMatchObject({ code })
  },
)
