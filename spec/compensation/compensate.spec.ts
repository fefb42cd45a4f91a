/**
 * Compensated sequences are the dense model with a linear map behind the units; what is folded is least squares, with the prompt's
 * share; and nothing changes where there is nothing to make up for.
 *
 * Tests src/compensation/compensate.ts, src/engine/folded_site.ts and src/compensation/held_moments.ts.
 */
import fc from 'fast-check'
import { describe, expect } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { compensationBy } from '../../src/compensation/compensate.ts'
import { foldSkipped } from '../../src/compensation/fold.ts'
import { HeldMoments } from '../../src/compensation/held_moments.ts'
import { maskModes, type MaskMode } from '../../src/engine/active_layer.ts'
import { Conversation } from '../../src/engine/conversation.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { storages, type Storage } from '../../src/engine/storages/index.ts'
import type { Compensation, FoldedMatrix } from '../../src/masks/compensation.ts'
import { denseMask, makeMask, unitKinds, type UnitKind, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { run, tensor, type Setting } from '../../src/spec/plain.ts'
import { programOf } from '../../src/engine/program.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import { owesBits } from '../../src/testing/op_agreement.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { epsilon32, near, sameBits } from '../../src/verify/compare.ts'
import { plainWeights } from '../../src/verify/model/plain_model.ts'
import { configOf, maskOf, roomyModel, shareOfModels, tensorsOf, tokensOf } from '../engine/cases.ts'
import { finish } from '../harness/finish.ts'
import { overBackends, shareOfCases } from '../harness/backends.ts'
import { anyData, killsByLaw, lawForAll, someOf, stateLaw } from '../harness/seed.ts'
import { saidOfSkipped } from './least_squares.ts'
import { oneLayer, randomMoments } from './random_moments.ts'

/** What is judged: a backend, what makes compensations, and what begins sequences. */
interface Subject {
  readonly backend: Backend
  readonly by: typeof compensationBy
  readonly begin: (model: LanguageModel, ...options: Parameters<LanguageModel['begin']>) => Sequence
}

const subjectOf = (backend: Backend): Subject => ({
  backend,
  by: compensationBy,
  begin: (model, options) => model.begin(options),
})

const ridge = 0.1
const sizes = { drawn: roomyModel, data: anyData, seed: fc.nat({ max: 99 }) }
const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0)

async function withLoaded(
  { backend }: Subject,
  drawn: Parameters<typeof tensorsOf>[0],
  work: (model: LanguageModel, tensors: ReadonlyMap<string, HostTensor>) => void,
  storage: Storage = 'f32',
): Promise<void> {
  const tensors = tensorsOf(drawn)
  const model = await LanguageModel.load(configOf(drawn), memorySource(tensors), backend, { storage })
  try {
    work(model, tensors)
  } finally {
    model.dispose()
  }
}

/** The logits of all tokens, in one feed after a first one of so many. */
function logitsOf(sequence: Sequence, tokens: Int32Array, first = tokens.length): Float32Array {
  try {
    const begun = sequence.feed(tokens.slice(0, first), 'all')
    if (first === tokens.length) return begun
    return Float32Array.of(...begun, ...sequence.feed(tokens.slice(first), 'all'))
  } finally {
    sequence.dispose()
  }
}

/** Columns of the matrix that adds units up: those that a mask keeps, or all. */
function columnsOf(
  { config, shape }: LanguageModel,
  mask: UnitMask | null,
  kind: UnitKind,
  layer: number,
): number[] {
  const size = kind === 'heads' ? config.headSize : 1
  const units = shape[kind]
  return Array.from({ length: units * size }, (_, c) => c).filter(
    (c) => mask === null || mask[kind][layer * units + Math.floor(c / size)] === 1,
  )
}

/** C of a layer in float64: of the moments, and by a share that of a prompt [T, N], whose tokens of neurons have one size. */
function matrixOf(
  moments: HeldMoments,
  kind: UnitKind,
  layer: number,
  prompt: Float32Array | null = null,
  promptShare = 0,
): Float64Array {
  const N = moments.texts[0][kind][layer].squares.length
  const all = Int32Array.from({ length: N }, (_, n) => n)
  const own = Float64Array.from(moments.rows(kind, layer, all, Float64Array.of(1), 1))
  if (!prompt) return own
  const T = prompt.length / N
  const sizes = Float64Array.from({ length: T }, (_, t) => {
    if (kind === 'heads') return 1
    const token = Float64Array.from(prompt.subarray(t * N, (t + 1) * N))
    return token.reduce((sum, value) => sum + (value * value) / N, 1e-6)
  })
  return own.map((value, at) => {
    const [i, j] = [Math.floor(at / N), at % N]
    let sum = 0
    for (let t = 0; t < T; t++) sum += (prompt[t * N + i] * prompt[t * N + j]) / T / sizes[t]
    return (1 - promptShare) * value + promptShare * sum
  })
}

/** The dense model in which a function maps the units of each layer: [T, N] to [T, N]. */
function mapped(
  model: LanguageModel,
  tensors: ReadonlyMap<string, HostTensor>,
  tokens: Int32Array,
  map: (kind: UnitKind, layer: number, a: Float32Array, N: number) => Float32Array,
): Float32Array {
  const keep: Setting['keep'] = (step, x) =>
    step.op === 'units' ? tensor(map(step.kind, step.layer, x.data, x.shape[1]), ...x.shape) : x
  const program = programOf(model.config)
  return run(program, plainWeights(tensors, 'f32'), tokens, { keep }).get(program)?.data as Float32Array
}

/** A matrix to be folded, alone. */
function drawnMatrix(
  scope: BufferScope,
  data: Data,
  [N, D, T]: readonly [number, number, number],
): { readonly matrix: FoldedMatrix; readonly weight: Float32Array; readonly prompt: Float32Array } {
  const mask = data.mask('mask', N, (stream) => stream.chance(0.6))
  const weight = data.floats('weight', [N, D], 'smooth')
  const prompt = data.floats('prompt', [T, N], 'smooth')
  const list = (kept: number): Int32Array =>
    Int32Array.from({ length: N }, (_, n) => n).filter((n) => mask[n] === kept)
  const held = scope.upload(weight, [N, D])
  const matrix = {
    backend: scope.backend,
    layer: 0,
    kind: 'neurons' as UnitKind,
    of: weight,
    shape: [N, D] as const,
    weight: () => held,
    kept: list(1),
    skipped: list(0),
    prompt,
  }
  return { matrix, weight, prompt }
}

/** A planner that decides what it is told, when the prompt has run, or in it. */
const telling = (
  by: 'prompt' | 'attention',
  masks: readonly UnitMask[],
  compensation: Compensation,
): MaskPlanner => {
  const { neurons } = masks[0].shape
  let asked = 0
  const choose = (): UnitMask => masks[asked++ % masks.length]
  const summarize = (): Float32Array => new Float32Array(neurons)
  return by === 'prompt'
    ? { name: 'telling', by, summarize, choose, compensation }
    : { name: 'telling', by, choose, compensation }
}

const laws = {
  least: lawForAll(
    'a compensated sequence is the dense model in which skipped units are B times the kept ones, by equal bits in every mode',
    sizes,
    (subject: Subject, { drawn, data, seed }) =>
      withLoaded(subject, drawn, (model, tensors) => {
        const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
        const moments = randomMoments(model, seed)
        const compensation = subject.by(moments, { by: 'least-squares', ridge })
        const all = maskModes.map((mode) =>
          logitsOf(subject.begin(model, { mask, compensation, mode }), tokens),
        )
        if (owesBits(subject.backend))
          for (const [i, mode] of maskModes.entries()) sameBits(mode, all[i], all[0])
        const expected = mapped(model, tensors, tokens, (kind, layer, a, N) => {
          const kept = columnsOf(model, mask, kind, layer)
          const { skipped, B } = saidOfSkipped(matrixOf(moments, kind, layer), N, kept, ridge)
          return a.map((value, at) => {
            const s = skipped.indexOf(at % N)
            if (s < 0) return value
            const row = at - (at % N)
            return kept.reduce((sum, n, k) => sum + B[s][k] * a[row + n], 0)
          })
        })
        near('logits', all[0], expected, 1e-2 * (1 + largest(expected)))
      }),
  ),
  stored: lawForAll(
    'in every storage a compensated sequence has the same bits in every mode, and those of a mask that was folded before',
    { ...sizes, storage: fc.constantFrom(...storages) },
    (subject: Subject, { drawn, data, seed, storage }) =>
      withLoaded(
        subject,
        drawn,
        (model) => {
          const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
          const compensation = subject.by(randomMoments(model, seed), { by: 'least-squares', ridge })
          const [first, ...others] = ['pack', ...maskModes].map((mode) =>
            logitsOf(subject.begin(model, { mask, compensation, mode: mode as MaskMode }), tokens, 1),
          )
          expect(first.every((value) => Number.isFinite(value))).toBe(true)
          if (owesBits(subject.backend))
            for (const [i, mode] of maskModes.entries()) sameBits(mode, others[i], first)
        },
        storage,
      ),
  ),
  mean: lawForAll(
    'a sequence whose skipped units are their means is the dense model with these numbers in their place',
    sizes,
    (subject: Subject, { drawn, data, seed }) =>
      withLoaded(subject, drawn, (model, tensors) => {
        const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
        const moments = randomMoments(model, seed)
        const compensation = subject.by(moments, { by: 'mean' })
        const actual = logitsOf(subject.begin(model, { mask, compensation }), tokens)
        const expected = mapped(model, tensors, tokens, (kind, layer, a, N) => {
          const kept = columnsOf(model, mask, kind, layer)
          const { means } = moments.texts[0][kind][layer]
          return a.map((value, at) => (kept.includes(at % N) ? value : means[at % N]))
        })
        near('logits', actual, expected, 1e-2 * (1 + largest(expected)))
      }),
  ),
  nothing: lawForAll(
    'without correlations, skipped units or kept ones, every bit stays as it is without compensation',
    sizes,
    (subject: Subject, { drawn, data, seed }) =>
      withLoaded(subject, drawn, (model) => {
        const [mask, tokens] = [maskOf(drawn, data), tokensOf(drawn, data)]
        const { shape } = model
        const moments = randomMoments(model, seed)
        const [text] = moments.texts
        const apart = new HeldMoments(shape, [
          {
            heads: text.heads.map((one) => ({ ...one, correlations: one.correlations.map(() => 0) })),
            neurons: text.neurons.map((one) => ({ ...one, correlations: one.correlations.map(() => 0) })),
          },
        ])
        const none = makeMask(
          shape,
          new Float32Array(shape.layers * shape.heads),
          new Float32Array(shape.layers * shape.neurons),
        )
        for (const [name, of, given] of [
          ['apart', apart, mask],
          ['all kept', moments, denseMask(shape)],
          ['none kept', moments, none],
        ] as const) {
          const compensation = subject.by(of, { by: 'least-squares', ridge })
          const actual = logitsOf(subject.begin(model, { mask: given, compensation }), tokens)
          sameBits(name, actual, logitsOf(model.begin({ mask: given }), tokens))
        }
      }),
  ),
  prompt: lawForAll(
    'what is folded is the least squares of float64, over the moments and by its share the prompt',
    {
      N: fc.integer({ min: 2, max: 12 }),
      D: fc.integer({ min: 1, max: 5 }),
      T: fc.integer({ min: 1, max: 9 }),
      promptShare: fc.constantFrom(0.2, 0.5, 1),
      kind: fc.constantFrom(...unitKinds),
      seed: fc.nat({ max: 99 }),
      data: anyData,
    },
    ({ backend, by }: Subject, { N, D, T, promptShare, kind, seed, data }) => {
      const moments = randomMoments(oneLayer(N), seed)
      const scope = new BufferScope(backend)
      try {
        const { matrix, weight, prompt } = drawnMatrix(scope, data, [N, D, T])
        const { kept, skipped } = matrix
        if (kept.length === 0 || skipped.length === 0) return
        const C = matrixOf(moments, kind, 0, prompt, promptShare)
        const turned = Float32Array.from(
          { length: N * D },
          (_, at) => weight[(at % N) * D + Math.floor(at / N)],
        )
        const folded = foldSkipped(turned, C, kept, ridge)
        const rows = by(moments, { by: 'least-squares', ridge, promptShare }).fold({ ...matrix, kind }).rows
        const expected = Float32Array.from({ length: kept.length * D }, (_, at) => {
          const [n, d] = [kept[Math.floor(at / D)], at % D]
          return folded[d * N + n]
        })
        near('rows', rows ?? [], expected, 1e-3 * (1 + largest(expected)))
      } finally {
        scope.dispose()
      }
    },
  ),
  orthogonal: lawForAll(
    'but for λ, what is left of the output is orthogonal to the kept units, within what sums and solving round',
    {
      N: fc.integer({ min: 2, max: 60 }),
      D: fc.integer({ min: 1, max: 4 }),
      seed: fc.nat({ max: 99 }),
      data: anyData,
    },
    ({ backend, by }: Subject, { N, D, seed, data }) => {
      const moments = randomMoments(oneLayer(N), seed)
      const scope = new BufferScope(backend)
      try {
        const { matrix, weight } = drawnMatrix(scope, data, [N, D, 1])
        const { kept, skipped } = matrix
        if (kept.length === 0 || skipped.length === 0) return
        const X = by(moments, { by: 'least-squares', ridge }).fold({ ...matrix, prompt: null }).rows
        const C = matrixOf(moments, 'neurons', 0)
        const all = Array.from({ length: N }, (_, n) => n)
        const penalty = all.reduce((sum, n) => sum + (ridge * C[n * N + n]) / N, 0)
        const a = (i: number, j: number): number => C[i * N + j] + (i === j ? penalty : 0)
        const K = kept.length
        const left: number[] = []
        const bounds: number[] = []
        for (const i of kept)
          for (let d = 0; d < D; d++) {
            const solved = [...kept].map((j, k) => [a(i, j), X?.[k * D + d] ?? weight[j * D + d], a(j, j)])
            const given = all.map((n) => a(i, n) * weight[n * D + d])
            left.push(
              solved.reduce((sum, [c, x]) => sum + c * x, 0) - given.reduce((sum, one) => sum + one, 0),
            )
            // Of Rᵀ R = a, sizes multiply to at most the root of a_ii a_jj.
            const sizes = solved.reduce(
              (sum, [, x, square]) => sum + Math.sqrt(a(i, i) * square) * Math.abs(x),
              0,
            )
            const givenSizes = given.reduce((sum, one) => sum + Math.abs(one), 0)
            bounds.push(epsilon32 * (4 * (K + 3) * sizes + 2 * (N + 6) * givenSizes))
          }
        near(
          'left',
          left,
          left.map(() => 0),
          bounds,
        )
      } finally {
        scope.dispose()
      }
    },
  ),
  anew: lawForAll(
    'a sequence replanned after each prompt, and a conversation that goes on, are compensated anew: they have the bits of fresh ones',
    { ...sizes, way: fc.constantFrom('attention' as const, 'prompt' as const, 'with the prompt' as const) },
    (subject: Subject, { drawn, data, seed, way }) =>
      withLoaded(subject, drawn, (model) => {
        const tokens = tokensOf(drawn, data)
        if (tokens.length < 3) return
        const { shape } = model
        const by = way === 'attention' ? way : 'prompt'
        const tables = (i: number, kind: UnitKind): Float32Array => {
          const table = data.mask(`${kind} ${i}`, [shape.layers, shape[kind]], (stream) => stream.chance(0.6))
          return by === 'attention' ? table.fill(1, 0, shape[kind]) : table
        }
        // The same mask again, whose keys and values may be used again, and another one.
        const [one, other] = [0, 1].map((i) => makeMask(shape, tables(i, 'heads'), tables(i, 'neurons')))
        const masks = [one, one, other]
        const promptShare = way === 'with the prompt' ? 0.3 : 0
        const settings = { by: 'least-squares', ridge, promptShare } as const
        const shared = subject.by(randomMoments(model, seed), settings)
        const conversation = new Conversation()
        const planner = telling(by, masks, shared)
        try {
          for (const [turn, mask] of masks.entries()) {
            const end = tokens.length - (turn === 0 ? 2 : 1)
            const [text, next] = [tokens.slice(0, end), tokens.slice(end, end + 1)]
            const { sequence, logits } = finish(conversation.begin(model, text, { planner }))
            const after = sequence.feed(next)
            conversation.keep(sequence, [...text, ...next])
            const own = telling(by, [mask], compensationBy(randomMoments(model, seed), settings))
            const fresh = model.begin({ planner: own })
            const expected = [fresh.feed(text), fresh.feed(next)]
            fresh.dispose()
            sameBits('prompt', logits, expected[0])
            sameBits('after it', after, expected[1])
          }
        } finally {
          conversation.dispose()
        }
      }),
  ),
}

describe('laws of compensated sequences', () =>
  overBackends((backend) => {
    const share = shareOfCases(backend) * shareOfModels(backend)
    for (const law of Object.values(laws)) stateLaw(someOf(law, share), subjectOf(backend))
  }))

const right = subjectOf(new ReferenceBackend())
/** Other settings, or another result. */
const settling = (change: (settings: Parameters<typeof compensationBy>[1]) => object): Subject => ({
  ...right,
  by: (moments, settings) => compensationBy(moments, { ...settings, ...change(settings) }),
})
const folding = (
  change: (fold: Compensation['fold'], matrix: FoldedMatrix) => ReturnType<Compensation['fold']>,
): Subject => ({
  ...right,
  by: (moments, settings) => {
    const compensation = compensationBy(moments, settings)
    return { ...compensation, fold: (matrix) => change(compensation.fold, matrix) }
  },
})
/** What was folded first, for ever. */
const foldingOnce = (): Subject => {
  return {
    ...right,
    by: (moments, settings) => {
      const compensation = compensationBy(moments, settings)
      const known = new Map<string, ReturnType<Compensation['fold']>>()
      return {
        ...compensation,
        fold: (matrix) => {
          const key = `${matrix.kind} ${matrix.layer} ${matrix.kept.length}`
          const folded = known.get(key) ?? compensation.fold(matrix)
          known.set(key, folded)
          return folded
        },
      }
    },
  }
}
const rowsBy = (change: (value: number) => number): Subject =>
  folding((fold, matrix) => {
    const { rows, bias } = fold(matrix)
    return { rows: rows?.map(change) ?? null, bias: bias?.map(change) ?? null }
  })

killsByLaw(laws, {
  least: {
    'no compensation': folding(() => ({ rows: null, bias: null })),
    'the other sign': rowsBy((value) => -value),
    'means in place of least squares': settling(() => ({ by: 'mean' })),
    'lost where rows are skipped in place': {
      ...right,
      begin: (model, options) =>
        model.begin(options?.mode === 'skip' ? { ...options, compensation: null } : options),
    },
  },
  stored: {
    'lost where rows are skipped in place': {
      ...right,
      begin: (model, options) =>
        model.begin(options?.mode === 'skip' ? { ...options, compensation: null } : options),
    },
  },
  mean: {
    'no compensation': folding(() => ({ rows: null, bias: null })),
    'twice the means': rowsBy((value) => 2 * value),
  },
  nothing: {
    'a sum in place of each row': folding((fold, matrix) => ({
      rows: new Float32Array(matrix.kept.length * matrix.shape[1]).fill(1e-4),
      bias: fold(matrix).bias,
    })),
  },
  prompt: {
    'no share of the prompt': settling(() => ({ promptShare: 0 })),
    'half the ridge': settling(({ ridge: own = 0 }) => ({ ridge: own / 2 })),
    'heads divided in place of neurons': folding((fold, matrix) =>
      fold({ ...matrix, kind: matrix.kind === 'heads' ? 'neurons' : 'heads' }),
    ),
    'a token less': folding((fold, matrix) =>
      fold({ ...matrix, prompt: matrix.prompt?.map((value, n) => (n === 0 ? 0 : value)) ?? null }),
    ),
  },
  orthogonal: {
    'no compensation': folding(() => ({ rows: null, bias: null })),
    'half the ridge': settling(({ ridge: own = 0 }) => ({ ridge: own / 2 })),
    'a thousandth more': rowsBy((value) => 1.001 * value),
  },
  anew: {
    'folded for the first mask of so many units': foldingOnce(),
  },
})
