/**
 * Right sides of least squares are rows of (C + λ mean(diag C) I) W, whichever masks were asked for before.
 */
import fc from 'fast-check'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import type { Backend } from '../../src/backends/backend.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { HeldMoments, mixMoments } from '../../src/compensation/held_moments.ts'
import { KnownProducts } from '../../src/compensation/known_products.ts'
import type { FoldedMatrix } from '../../src/masks/compensation.ts'
import { owesBits } from '../../src/testing/op_agreement.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { epsilon32, near, sameBits } from '../../src/verify/compare.ts'
import { overBackends, shareOfCases } from '../harness/backends.ts'
import { anyData, killsByLaw, lawForAll, someOf, stateLaw } from '../harness/seed.ts'
import { oneLayer, randomMoments } from './random_moments.ts'

/** What is judged: rows by these moments and λ, [K, D]. */
interface Subject {
  readonly backend: Backend
  readonly make: (
    moments: HeldMoments,
    ridge: number,
  ) => (matrix: FoldedMatrix, w: Float64Array, factor: number) => Float32Array
}

const subjectOf = (backend: Backend): Subject => ({
  backend,
  make: (moments, ridge) => {
    const known = new KnownProducts(moments, ridge)
    return (matrix, w, factor) => {
      const scope = new BufferScope(backend)
      try {
        const to = scope.allocate('f32', [matrix.kept.length, matrix.shape[1]])
        known.write(to, matrix, w, factor)
        return backend.readF32(to)
      } finally {
        scope.dispose()
      }
    }
  },
})

const ridge = 0.1
const factor = 0.7
/** Past a strip of rows. */
const sizes = {
  N: fc.integer({ min: 1, max: 70 }),
  D: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat({ max: 99 }),
  data: anyData,
}

/** Two texts, and their weights. */
function textsOf(N: number, seed: number): { readonly moments: HeldMoments; readonly w: Float64Array } {
  const text = (m: number): HeldMoments => randomMoments(oneLayer(N), 2 * seed + m)
  return { moments: mixMoments([text(0), text(1)]), w: Float64Array.of(0.25, 0.75) }
}

function withMatrix(
  { backend }: Subject,
  data: Data,
  [N, D]: readonly [number, number],
  work: (weight: Float32Array, matrixOf: (kept: Int32Array) => FoldedMatrix) => void,
): void {
  const weight = data.floats('weight', [N, D], 'smooth')
  const scope = new BufferScope(backend)
  try {
    const held = scope.upload(weight, [N, D])
    const about = { backend, layer: 0, kind: 'neurons', of: held, shape: [N, D], prompt: null } as const
    const none = new Int32Array(0)
    work(weight, (kept) => ({ ...about, weight: () => held, kept, skipped: none }))
  } finally {
    scope.dispose()
  }
}

const keptOf = (data: Data, name: string, N: number): Int32Array => {
  const mask = data.mask(name, N, (stream) => stream.chance(0.6))
  return Int32Array.from({ length: N }, (_, n) => n).filter((n) => mask[n] === 1)
}

const laws = {
  formula: lawForAll(
    'a row is that of (C + λ mean(diag C) I) W, mixed of the texts, within what its sum rounds',
    sizes,
    (subject: Subject, { N, D, seed, data }) =>
      withMatrix(subject, data, [N, D], (weight, matrixOf) => {
        const { moments, w } = textsOf(N, seed)
        const kept = keptOf(data, 'kept', N)
        const all = Int32Array.from({ length: N }, (_, n) => n)
        const C = moments.rows('neurons', 0, all, w, 1)
        const mean = all.reduce((sum, n) => sum + C[n * N + n] / N, 0)
        const product = (n: number, d: number, of: (value: number) => number): number =>
          all.reduce(
            (sum, i) => sum + of(C[n * N + i] * weight[i * D + d]),
            of(ridge * mean * weight[n * D + d]),
          )
        const each = (of: (value: number) => number): number[] =>
          [...kept].flatMap((n) => Array.from({ length: D }, (_, d) => factor * product(n, d, of)))
        const bounds = each(Math.abs).map((size) => 2 * (N + 6) * epsilon32 * size)
        near('rows', subject.make(moments, ridge)(matrixOf(kept), w, factor), each(Number), bounds)
      }),
  ),
  anew: lawForAll(
    'rows have the same bits whichever masks and mixtures were asked for before',
    sizes,
    (subject: Subject, { N, D, seed, data }) =>
      withMatrix(subject, data, [N, D], (_, matrixOf) => {
        if (!owesBits(subject.backend)) return
        const { moments, w } = textsOf(N, seed)
        const [before, kept] = ['before', 'kept'].map((name) => keptOf(data, name, N))
        const rows = subject.make(moments, ridge)
        rows(matrixOf(before), Float64Array.of(1, 0), 1)
        const fresh = subject.make(moments, ridge)(matrixOf(kept), w, factor)
        sameBits('rows', rows(matrixOf(kept), w, factor), fresh)
      }),
  ),
}

overBackends((backend) => {
  for (const law of Object.values(laws)) stateLaw(someOf(law, shareOfCases(backend)), subjectOf(backend))
})

const right = subjectOf(new ReferenceBackend())
killsByLaw(laws, {
  formula: {
    'no ridge': { ...right, make: (moments) => right.make(moments, 0) },
    'the first text alone': {
      ...right,
      make: ({ shape, texts }, own) => right.make(new HeldMoments(shape, [texts[0], texts[0]]), own),
    },
    'no factor': {
      ...right,
      make: (moments, own) => {
        const rows = right.make(moments, own)
        return (matrix, w) => rows(matrix, w, 1)
      },
    },
  },
  anew: {
    'rows of the first mixture for ever': {
      ...right,
      make: (moments, own) => {
        const rows = right.make(moments, own)
        let first: Float64Array | null = null
        return (matrix, w, by) => rows(matrix, (first ??= w), by)
      },
    },
    'rows in the places of the first mask': {
      ...right,
      make: (moments, own) => {
        const rows = right.make(moments, own)
        let first: Int32Array | null = null
        return (matrix, w, by) => {
          first ??= matrix.kept
          const kept = matrix.kept.map((n, k) => first?.[k] ?? n)
          return rows({ ...matrix, kept }, w, by)
        }
      },
    },
  },
})
