/**
 * What a sequence says of itself is what is counted from the kernels that it really called.
 *
 * Tests src/engine/sequence.ts, src/engine/active_layer.ts, src/engine/mask_cost.ts and src/masks/achieved.ts.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { wrapOps } from '../../src/backends/watched.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { cheapestStrategy, countRuns, type ExecutionStrategy } from '../../src/engine/mask_cost.ts'
import { storageIn, type Matrix } from '../../src/engine/storages/index.ts'
import type { Sequence, StrategyCounts } from '../../src/engine/sequence.ts'
import { chosenUnits, layerMask } from '../../src/engine/unit_lists.ts'
import { achievedSparsity, type Sparsity } from '../../src/masks/achieved.ts'
import { denseMask, unitKinds, type UnitMask } from '../../src/masks/mask.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { modelParameters } from '../../src/engine/program.ts'
import { heldMatrix } from './held_matrix.ts'
import {
  anyCache,
  askedSomehow,
  engineCase,
  endsOf,
  cuts,
  everyOf,
  leavesPrompt,
  made,
  maskSchedule,
  masksUnder,
  modes,
  plannerOf,
  type Asked,
  type EngineCase,
} from '../../src/verify/model/engine_cases.ts'
import { sameData } from '../harness/recorded.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

/** A product of a pass: which matrix, how many of its rows and columns it reads, and whether it reads them by a list. */
interface Product {
  readonly op: 'linear' | 'linear_input_major'
  readonly weight: Matrix
  readonly rows: number
  readonly columns: number
  readonly isListed: boolean
}

/** A backend that keeps the products it computes. */
class CountingBackend {
  readonly products: Product[] = []
  readonly backend: Backend
  constructor() {
    this.backend = wrapOps(new ReferenceBackend(), (op, run) => (...args) => {
      if (op === 'linear' || op === 'linear_input_major') {
        const [y, x, weight, , list] = args as unknown as [Buffer, Buffer, Matrix, unknown, Buffer | null]
        // A row per output of `linear`, a row per input of the other.
        const [own, other] = op === 'linear' ? [y, x] : [x, y]
        const rows = list ? list.length : own.shape[1]
        this.products.push({ op, weight, rows, columns: other.shape[1], isListed: list !== null })
      }
      run(...args)
    })
  }
}

/** Works on a loaded case, whose products are counted. */
async function withCounted(
  drawn: EngineCase,
  work: (model: LanguageModel, products: Product[], tokens: Int32Array) => void,
): Promise<void> {
  const { config, tensors, tokens } = made(drawn)
  const counting = new CountingBackend()
  const model = await LanguageModel.load(config, memorySource(tensors), counting.backend)
  try {
    work(model, counting.products, tokens)
  } finally {
    model.dispose()
  }
}

/** How each half of each block was run by the last pass: two products of input-major matrices in each layer. */
function strategiesOf(
  model: LanguageModel,
  products: readonly Product[],
): [ExecutionStrategy, ExecutionStrategy][] {
  const all = products.filter(({ op }) => op === 'linear_input_major').slice(-2 * model.config.layers)
  const of = ({ weight, isListed }: Product, own: Matrix): ExecutionStrategy =>
    valuesOf(weight) !== valuesOf(own) ? 'packed' : isListed ? 'gather' : 'dense'
  return Array.from({ length: model.config.layers }, (_, l) => [
    of(all[2 * l], heldMatrix(model, l, 'out')),
    of(all[2 * l + 1], heldMatrix(model, l, 'fc2')),
  ])
}

function countsOf(strategies: readonly (readonly ExecutionStrategy[])[]): StrategyCounts {
  const counts = { dense: 0, gather: 0, packed: 0 }
  for (const one of strategies.flat()) counts[one]++
  return counts
}

/** A planner or a mask given beforehand. */
const howMasked = fc.option(askedSomehow)

/** A sequence under drawn masks, one after the other, and under one that keeps all units now and then. */
function begin(
  model: LanguageModel,
  drawn: EngineCase,
  how: Asked | null,
  masks: readonly UnitMask[],
  options: ConstructorParameters<typeof Sequence>[1],
): Sequence {
  if (!how) return model.begin({ ...options, mask: masks[0] })
  const all = [...masks, denseMask(model.shape)]
  let asked = 0
  return model.begin({ ...options, planner: plannerOf(drawn, how, () => all[asked++ % all.length]) })
}

// ---- Strategies ------------------------------------------------------------------------------------------------------

type Strategies = (sequence: Sequence, last: StrategyCounts | null) => StrategyCounts
const strategies: Strategies = (sequence) => sequence.strategies

const strategiesAreThoseRun = lawForAll(
  'the strategies that a sequence reports after a feed are those that its products show',
  {
    drawn: engineCase,
    schedule: maskSchedule,
    how: howMasked,
    mode: modes,
    cache: anyCache,
    parts: cuts,
    expectedTokens: fc.nat({ max: 40 }),
  },
  (report: Strategies, { drawn, schedule, how, mode, cache, parts, expectedTokens }) =>
    withCounted(drawn, (model, products, tokens) => {
      const masks = masksUnder(drawn, schedule, how)
      const sequence = begin(model, drawn, how, masks, { mode, cache, expectedTokens })
      let last: StrategyCounts | null = null
      try {
        for (const end of endsOf(tokens, parts)) {
          const isPrompt = sequence.length === 0
          sequence.feed(tokens.slice(sequence.length, end), 'none')
          const reported = report(sequence, last)
          last = reported
          // After a dense prompt the report is of the passes to come.
          if (isPrompt && how && leavesPrompt(how)) continue
          sameData('strategies', reported, countsOf(strategiesOf(model, products)))
        }
      } finally {
        sequence.dispose()
      }
    }),
)
stateLaw(strategiesAreThoseRun, strategies)

test('reports that keep what was once gathered, or count layers once: killed', async () => {
  await kills(strategiesAreThoseRun, (sequence, last) => {
    const now = sequence.strategies
    if (!last || last.gather <= now.gather) return now
    return { ...now, gather: last.gather, dense: now.dense - (last.gather - now.gather) }
  })
  await kills(strategiesAreThoseRun, (sequence) => ({ ...sequence.strategies, packed: 0 }))
})

// ---- Cost hints ------------------------------------------------------------------------------------------------------

/** The strategy that is cheapest for the passes that ran under a mask. @param shift by how many single tokens a mutant is wrong */
type Expect = (work: Parameters<typeof cheapestStrategy>[0]) => ExecutionStrategy

/** What ran under one decision: when it was made, and how many passes followed. */
interface UnderMask {
  readonly mask: UnitMask
  readonly T: number
  steps: number
  /** How it is said to be carried out. */
  readonly reported: StrategyCounts
}

const strategiesAreCheapest = lawForAll(
  'in mode auto a layer is carried out in the cheapest way for the passes that then really run under the mask',
  {
    drawn: engineCase,
    schedule: maskSchedule,
    how: askedSomehow,
    cache: anyCache,
    first: fc.nat({ max: 11 }),
  },
  (cheapest: Expect, { drawn, schedule, how, cache, first }) =>
    // A block that is packed can be taken over, which costs less; gates gather.
    how.by === 'gate'
      ? Promise.resolve()
      : withCounted(drawn, (model, _products, tokens) => {
          const prompt = 1 + (first % tokens.length)
          const { heads: H, keyHeads: G, headSize: K, gated } = model.config
          const masks = masksUnder(drawn, schedule, how)
          const isDense = leavesPrompt(how)
          const every = everyOf(how)
          const sequence = begin(model, drawn, how, masks, { cache, expectedTokens: tokens.length - prompt })
          const under: UnderMask[] = []
          try {
            sequence.feed(tokens.slice(0, prompt), 'none')
            const noteMask = (T: number, steps: number): void => {
              if (sequence.mask) under.push({ mask: sequence.mask, T, steps, reported: sequence.strategies })
            }
            noteMask(isDense ? 1 : prompt, isDense ? -1 : 0)
            for (let t = prompt; t < tokens.length; t++) {
              const { decisions } = sequence
              sequence.feed(tokens.slice(t, t + 1), 'none')
              if (sequence.decisions > decisions) noteMask(1, 0)
              else if (under.length > 0) under[under.length - 1].steps++
            }
          } finally {
            sequence.dispose()
          }
          const changes = every < Infinity
          let packed = false
          for (const { mask, T, steps, reported } of under) {
            const expected = Array.from({ length: drawn.layers }, (_, l) => {
              const layer = layerMask(mask, l)
              const of = (
                units: Float32Array,
                size: number,
                matrices: number,
                weight: Matrix,
              ): ExecutionStrategy => {
                const chosen = chosenUnits(units)
                if (chosen.length === units.length) return 'dense'
                return cheapest({
                  matrices,
                  rows: units.length * size,
                  chosen: chosen.length * size,
                  runs: countRuns(chosen),
                  fresh: 1,
                  rowBytes: storageIn(weight).rowBytes(model.config.width, 'inputs'),
                  T,
                  steps: Math.max(0, steps),
                })
              }
              const ofHeads = of(layer.heads, K, 2 + (2 * G) / H, heldMatrix(model, l, 'out'))
              // Heads are packed only where the cache may hold just these, and where no norm reads all of them.
              const mayPack =
                !changes &&
                !isDense &&
                (how.by === 'layer' || l > how.sourceLayer % drawn.layers) &&
                model.config.family !== 'olmo2'
              const ofNeurons = of(layer.neurons, 1, gated ? 3 : 2, heldMatrix(model, l, 'fc2'))
              return [ofHeads === 'packed' && !mayPack ? 'gather' : ofHeads, ofNeurons] as const
            })
            if (packed) return
            sameData('strategies', reported, countsOf(expected))
            packed = reported.packed > 0
          }
        }),
  { runs: casesAtTier(120, 1000) },
)
stateLaw(strategiesAreCheapest, cheapestStrategy)

test('hints of a token more, of a token less, and of the whole prompt: killed', async () => {
  await kills(strategiesAreCheapest, (work) => cheapestStrategy({ ...work, steps: work.steps + 1 }))
  await kills(strategiesAreCheapest, (work) =>
    cheapestStrategy({ ...work, steps: Math.max(0, work.steps - 1) }),
  )
  await kills(strategiesAreCheapest, (work) => cheapestStrategy({ ...work, T: work.T + 4 }))
})

// ---- Shares that are skipped -----------------------------------------------------------------------------------------

type Achieved = typeof achievedSparsity

const skippedIsUnread = lawForAll(
  'the shares of heads, neurons and weights that a mask skips are those that no product of a pass reads',
  {
    drawn: engineCase,
    schedule: maskSchedule,
    by: fc.option(fc.constantFrom<Asked['by']>('attention', 'layer', 'prompt', 'gate')),
    mode: fc.constantFrom('skip', 'pack'),
    parts: cuts,
  },
  (achieved: Achieved, { drawn, schedule, by, mode, parts }) =>
    withCounted(drawn, (model, products, tokens) => {
      const { config, weights } = model
      const how = by && { by, sourceLayer: 0 }
      const masks = masksUnder(drawn, schedule, how)
      const sequence = begin(model, drawn, how, masks, { mode })
      try {
        for (const end of endsOf(tokens, parts)) {
          const isPrompt = sequence.length === 0
          products.length = 0
          sequence.feed(tokens.slice(sequence.length, end), 'none')
          // The prompt is dense, or dense up to the decision.
          if (isPrompt && how) continue
          // Gates are computed of all neurons, to decide by.
          const {
            heads,
            neurons,
            weights: unread,
            layers,
          }: Sparsity & { layers: readonly Sparsity[] } = achieved(sequence.mask as UnitMask, config)
          const outer = [...modelParameters(config).values()]
            .filter(({ layer }) => layer === null)
            .map(({ name }) => weights.matrices.get(name))
          const { layers: L, heads: H, keyHeads: G, headSize: K, width: D, neurons: F, gated } = config
          // The last pass has two products of input-major matrices in each layer.
          const ends = products.flatMap(({ op }, i) => (op === 'linear_input_major' ? [i] : []))
          const begun = (ends.at(-2 * L - 1) ?? -1) + 1
          const inBlocks = products.slice(begun).filter(({ weight }) => !outer.includes(weight))
          const inputMajor = inBlocks.filter(({ op }) => op === 'linear_input_major')
          const kept = (at: 0 | 1): number =>
            sum(inputMajor.filter((_, i) => i % 2 === at).map(({ rows }) => rows))
          const matrices = (gated ? 3 : 2) * F + 2 * H * K + 2 * G * K
          const gateRows = by === 'gate' ? (L * F - kept(1)) * D : 0
          const read = sum(inBlocks.map(({ rows, columns }) => rows * columns)) - gateRows
          nearly('heads', heads, 1 - kept(0) / (L * H * K))
          nearly('neurons', neurons, 1 - kept(1) / (L * F))
          nearly('weights', unread, 1 - read / (L * D * matrices))
          nearly('weights of layers', sum(layers.map((layer) => layer.weights)) / L, unread)
        }
      } finally {
        sequence.dispose()
      }
    }),
)
stateLaw(skippedIsUnread, achievedSparsity)

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

function nearly(what: string, actual: number, expected: number): void {
  if (!(Math.abs(actual - expected) < 1e-9)) throw new Error(`${what}: expected ${expected}, got ${actual}`)
}

test('shares of kept units, without key heads, or of two matrices of three: killed', async () => {
  for (const kind of unitKinds)
    await kills(skippedIsUnread, (mask, sizes) => {
      const right = achievedSparsity(mask, sizes)
      return { ...right, [kind]: 1 - right[kind] }
    })
  await kills(skippedIsUnread, (mask, sizes) =>
    achievedSparsity(mask, { ...sizes, keyHeads: mask.shape.heads }),
  )
  await kills(skippedIsUnread, (mask, sizes) => achievedSparsity(mask, { ...sizes, gated: false }))
})
