/**
 * What a mask made in the prompt costs where skipped units are made up for by least squares: half of the neurons of a layer of
 * SmolLM2-135M, beside the products of that layer over a prompt of 128 tokens, by turns. A share of 1 is a pass over the prompt.
 */
import { allowWide, createBackend } from '../src/backends/select.ts'
import type { Backend } from '../src/backends/backend.ts'
import { BufferScope } from '../src/backends/buffer_scope.ts'
import { compensationBy } from '../src/compensation/compensate.ts'
import { HeldMoments, ONE } from '../src/compensation/held_moments.ts'
import type { Compensation } from '../src/masks/compensation.ts'
import { write } from '../src/platform/platform.ts'
import { median } from '../src/results/interleaved_rounds.ts'
import { Random } from '../src/tensor/random.ts'
import { interleave, ratio, table, type Job } from './timing.ts'

const T = 128
const [D, F, KEYS] = [576, 1536, 192]
const K = F / 2
const ROUNDS = 25
const PROMPT_SHARE = 0.2

/** Moments in which units resemble each other by what they have in common. */
function momentsOf(random: Random): HeldMoments {
  const common = Float64Array.from({ length: F }, () => random.uniform())
  const correlations = new Int16Array((F * (F - 1)) / 2)
  for (let i = 0, at = 0; i < F; i++)
    for (let j = 0; j < i; j++) correlations[at++] = Math.round(0.9 * ONE * common[i] * common[j])
  const squares = new Float32Array(F).fill(1)
  const neurons = { means: new Float32Array(F), squares, correlations, worths: new Float32Array(F) }
  return new HeldMoments({ layers: 1, heads: 0, neurons: F }, [{ heads: [], neurons: [neurons] }])
}

/** The products of a layer over the prompt. */
function passOf(backend: Backend, scope: BufferScope, numbers: (count: number) => Float32Array): () => void {
  const { ops } = backend
  const [x, y] = [scope.upload(numbers(T * D), [T, D]), scope.allocate('f32', [T, D])]
  const a = scope.upload(numbers(T * F), [T, F])
  const linear = [D, KEYS, KEYS, F, F].map((rows) => ({
    to: scope.allocate('f32', [T, rows]),
    weight: scope.upload(numbers(rows * D), [rows, D]),
  }))
  const added = [x, a].map((from) => {
    const [, rows] = from.shape
    return { from, weight: scope.upload(numbers(rows * D), [rows, D]) }
  })
  return () => {
    for (const { to, weight } of linear) ops.linear(to, x, weight, null, null)
    for (const { from, weight } of added) ops.linear_input_major(y, from, weight, null, null)
  }
}

export async function run(): Promise<void> {
  allowWide(true)
  const backend = await createBackend('wasm', { threads: 1 })
  const scope = new BufferScope(backend)
  const random = new Random(1)
  const numbers = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => random.uniform() - 0.5)
  const weight = scope.upload(numbers(F * D), [F, D])
  const prompt = numbers(T * F)
  const unitsOf = (step: number): Int32Array =>
    Int32Array.from({ length: K }, (_, k) => 2 * k + ((k >> step) & 1))
  /** Folds another mask at each turn, so that none is found folded. @param of what the matrix is known by */
  const folding = (
    compensation: Compensation,
    of: () => object,
    shown: Float32Array | null,
  ): (() => void) => {
    let turn = 0
    return () => {
      const kept = unitsOf(turn++ % 4)
      const isKept = new Set(kept)
      const skipped = Int32Array.from({ length: F }, (_, n) => n).filter((n) => !isKept.has(n))
      const about = { backend, layer: 0, kind: 'neurons', shape: [F, D], weight: () => weight } as const
      compensation.fold({ ...about, of: of(), kept, skipped, prompt: shown })
    }
  }
  const moments = momentsOf(random)
  const alone = compensationBy(moments, { by: 'least-squares' })
  const both = compensationBy(moments, { by: 'least-squares', promptShare: PROMPT_SHARE })
  const later = folding(alone, () => weight, null)
  const jobs: Job[] = [
    { name: 'the layer over the prompt', work: 1, run: passOf(backend, scope, numbers) },
    { name: 'the first mask', work: 1, run: folding(alone, () => ({}), null) },
    { name: 'a later mask', work: 1, run: later },
    { name: `with ${PROMPT_SHARE} of the prompt`, work: 1, run: folding(both, () => weight, prompt) },
  ]
  try {
    for (let i = 0; i < 4; i++) later()
    const rates = interleave(jobs, ROUNDS)
    const rows = rates.map((one) => [
      one.name,
      (1 / median(one.samples)).toFixed(2),
      ratio(rates[0], one).toFixed(2),
    ])
    await write('stdout', `${K} of ${F} neurons, width ${D}, ${T} tokens: medians of ${ROUNDS} rounds\n`)
    await write('stdout', table([['', 'ms', 'x the layer'], ...rows]))
  } finally {
    scope.dispose()
    await backend.dispose()
    allowWide(false)
  }
}
