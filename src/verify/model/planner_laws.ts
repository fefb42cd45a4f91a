/**
 * Laws of planners that the specification does not state: what a mask that stays leaves unread, rewinding, and decisions that
 * wait until attention shifts.
 */
import fc from 'fast-check'
import { prefills, type MaskPlanner } from '../../masks/planner.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { contextWidth } from '../../engine/config.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import type { SequenceOptions } from '../../engine/sequence.ts'
import { same, sameBits } from '../compare.ts'
import { dot64 } from '../float64.ts'
import { withLoaded, forAll } from './cases.ts'
import { poisonIsUnseen } from './mask_laws.ts'
import {
  anyCache,
  anyMask,
  askedOnce,
  cuts,
  denseLayers,
  endsOf,
  engineCase,
  feedInParts,
  made,
  maskOf,
  maskSchedule,
  masksUnder,
  plannerOf,
  type Asked,
  type EngineCase,
} from './engine_cases.ts'

/** One number for what a planner is shown; 0 and -0 are the same. */
function digest(values: Float32Array): number {
  const bits = new Uint32Array(values.map((value) => value + 0).buffer)
  return bits.reduce((hash, word) => (Math.imul(hash, 31) + word) >>> 0, 7)
}

/** A planner whose every decision depends on what it is shown. */
export function fickle(drawn: EngineCase, how: Asked, masks: readonly UnitMask[]): MaskPlanner {
  return plannerOf(drawn, how, (_, first) => masks[digest(first) % masks.length])
}

/** The tokens at which a planner of the whole model was asked, and the logits of a text that was fed in parts. */
interface AskedRun {
  readonly asked: readonly number[]
  readonly logits: Float32Array
  /** What it was shown last: [T, D]. */
  readonly context: Float32Array
}

function runAsked(
  model: LanguageModel,
  drawn: EngineCase,
  masks: readonly UnitMask[],
  tokens: Int32Array,
  parts: readonly number[],
  { cache, ...how }: Omit<Asked, 'by'> & { readonly shift?: number } & Pick<SequenceOptions, 'cache'>,
): AskedRun {
  const asked: number[] = []
  let context = new Float32Array(0)
  const planner = plannerOf(drawn, { ...how, by: 'attention' }, (rows, shown) => {
    context = shown.slice()
    asked.push(rows - 1)
    return masks[(asked.length - 1) % masks.length]
  })
  const logits = feedInParts(model, tokens, parts, { planner: { ...planner, shift: how.shift }, cache })
  return { asked, logits, context }
}

/** Cosines of the means of rows [T, D]: of those from `start` to `end` with those before `seen`. */
function meanCosine(rows: Float32Array, width: number, start: number, end: number, seen: number): number {
  const mean = (from: number, to: number): number[] =>
    Array.from({ length: width }, (_, d) => {
      let sum = 0
      for (let t = from; t < to; t++) sum += rows[t * width + d]
      return sum / (to - from)
    })
  const [a, b] = [mean(start, end), mean(0, seen)]
  const [ofA, ofB] = [dot64(a, a), dot64(b, b)]
  if (ofA === 0 || ofB === 0) return ofA === 0 && ofB === 0 ? 1 : 0
  return dot64(a, b) / Math.sqrt(ofA * ofB)
}

/** Half the distance from a bound at which the rounding of two ways to sum could matter. */
const UNDECIDED = 1e-9

/**
 * The tokens at which a planner is asked, as masks/shift.ts says it.
 * @param rows attention outputs of the source layer: [T, D]
 * @returns null where rounding decides
 */
function shiftedAt(
  rows: Float32Array,
  width: number,
  prompt: number,
  every: number,
  distance: number,
): number[] | null {
  const asked = [prompt - 1]
  for (let t = prompt - 1 + every; t < rows.length / width; t += every) {
    const seen = asked[asked.length - 1] + 1
    const size = Math.min(every, seen)
    const windows = Math.floor(seen / size)
    let usual = 0
    for (let i = 0; i < windows; i++)
      usual += meanCosine(rows, width, i * size, (i + 1) * size, seen) / windows
    const above = meanCosine(rows, width, t - every, t, seen) - (usual - distance)
    if (!(Math.abs(above) > UNDECIDED)) return null
    if (above < 0) asked.push(t)
  }
  return asked
}

const anyWindow = fc.integer({ min: 1, max: 3 })

export const plannerLaws = {
  shifted: forAll(
    'a planner that waits for a shift is asked at the tokens that its formula names, however the text is fed',
    {
      drawn: engineCase,
      schedule: maskSchedule,
      sourceLayer: fc.nat({ max: 2 }),
      prefill: fc.constantFrom(undefined, ...prefills),
      every: anyWindow,
      shift: fc.constantFrom(0, 0.02, 0.1, 0.5),
      cache: anyCache,
      parts: cuts,
    },
    async (subject, { drawn, schedule, sourceLayer, prefill, every, shift, cache, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const how = { sourceLayer, prefill, cache }
      const masks = masksUnder(drawn, schedule, { ...how, by: 'attention' })
      const [prompt] = endsOf(tokens, parts)
      await withLoaded(subject, config, tensors, {}, (model) => {
        // The source layer runs dense: its outputs are the same under every mask.
        const { context } = runAsked(model, drawn, masks, tokens, [prompt - 1], { ...how, every: 1 })
        const expected = shiftedAt(context, contextWidth(config), prompt, every, shift)
        if (expected === null) return
        const { asked } = runAsked(model, drawn, masks, tokens, parts, { ...how, every, shift })
        sameBits('asked', asked, expected)
      })
    },
  ),

  shiftBounds: forAll(
    'waiting for a shift of more than any distance is one decision, of more than none a decision at every window, bit for bit',
    {
      drawn: engineCase,
      schedule: maskSchedule,
      sourceLayer: fc.nat({ max: 2 }),
      prefill: fc.constantFrom(undefined, ...prefills),
      window: anyWindow,
      isNever: fc.boolean(),
      cache: anyCache,
      parts: cuts,
    },
    async (subject, { drawn, schedule, sourceLayer, prefill, window, isNever, cache, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const how = { sourceLayer, prefill, cache }
      const masks = masksUnder(drawn, schedule, { ...how, by: 'attention' })
      await withLoaded(subject, config, tensors, {}, (model) => {
        const every = isNever ? undefined : window
        const expected = runAsked(model, drawn, masks, tokens, parts, { ...how, every })
        const shift = isNever ? Infinity : -Infinity
        const actual = runAsked(model, drawn, masks, tokens, parts, { ...how, every: window, shift })
        sameBits('asked', actual.asked, expected.asked)
        sameBits('logits', actual.logits, expected.logits)
      })
    },
  ),

  fixedNeedsNoMore: forAll(
    'a mask that stays after the prompt leaves nothing to be found later: NaN in the weights of its skipped units changes no bit',
    {
      drawn: engineCase,
      skip: anyMask,
      sourceLayer: fc.nat({ max: 2 }),
      cache: anyCache,
      mode: fc.constantFrom('skip', 'pack'),
      parts: cuts,
    },
    async (subject, { drawn, skip, sourceLayer, cache, mode, parts }) => {
      const how = { by: 'attention', sourceLayer } as const
      const mask = maskOf(drawn, skip, denseLayers(drawn, how))
      const planner = plannerOf(drawn, how, () => mask)
      await poisonIsUnseen(subject, drawn, mask, parts, { planner, mode, cache })
    },
  ),

  rewound: forAll(
    'rewound to any place after the prompt, a sequence goes on as one that was never fed what it forgot, bit for bit',
    {
      drawn: engineCase,
      schedule: fc.option(maskSchedule),
      // Asked once or at every token: one that is asked now and then cannot be rewound.
      how: fc.option(fc.record({ ...askedOnce, every: fc.constantFrom(undefined, 1) })),
      cache: anyCache,
      // The prompt, where it is rewound to, and what is forgotten.
      first: fc.nat({ max: 11 }),
      more: fc.nat({ max: 11 }),
      wrong: fc.array(fc.nat({ max: 34 }), { maxLength: 4, size: 'max' }),
    },
    async (subject, { drawn, schedule, how, cache, first, more, wrong }) => {
      const { config, tensors, tokens } = made(drawn, wrong.length)
      const masks = schedule && masksUnder(drawn, schedule, how)
      const options = (): SequenceOptions => {
        if (masks === null || how === null) return { mask: masks && masks[0], cache }
        return { planner: fickle(drawn, how, masks), cache }
      }
      const prompt = 1 + (first % tokens.length)
      const at = prompt + (more % (tokens.length - prompt + 1))
      const forgotten = Int32Array.from(wrong, (id) => id % drawn.vocabulary)
      await withLoaded(subject, config, tensors, {}, (model) => {
        const [once, twice] = [model.begin(options()), model.begin(options())]
        try {
          for (const sequence of [once, twice]) {
            sequence.feed(tokens.slice(0, prompt), 'none')
            if (at > prompt) sequence.feed(tokens.slice(prompt, at), 'none')
          }
          if (forgotten.length > 0) twice.feed(forgotten, 'none')
          twice.rewind(at)
          same('length', twice.length, at)
          if (at === tokens.length) return
          const [expected, actual] = [once, twice].map((one) => one.feed(tokens.slice(at), 'all'))
          sameBits('logits', actual, expected)
        } finally {
          once.dispose()
          twice.dispose()
        }
      })
    },
  ),
}
