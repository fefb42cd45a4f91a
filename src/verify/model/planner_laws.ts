/**
 * Laws of planners that the specification does not state: what a mask that stays leaves unread, and rewinding.
 */
import fc from 'fast-check'
import type { MaskPlanner } from '../../masks/planner.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { SequenceOptions } from '../../engine/sequence.ts'
import { same, sameBits } from '../compare.ts'
import { withLoaded, forAll } from './cases.ts'
import { poisonIsUnseen } from './mask_laws.ts'
import {
  anyCache,
  anyMask,
  askedOnce,
  cuts,
  denseLayers,
  engineCase,
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
function fickle(drawn: EngineCase, how: Asked, masks: readonly UnitMask[]): MaskPlanner {
  return plannerOf(drawn, how, (_, first) => masks[digest(first) % masks.length])
}

export const plannerLaws = {
  fixedNeedsNoMore: forAll(
    'a mask that stays after the prompt leaves nothing to be found later: NaN in the weights of its skipped units changes no bit',
    [engineCase, anyMask, fc.nat({ max: 2 }), anyCache, fc.constantFrom('skip', 'pack'), cuts],
    async (subject, drawn, skip, placement, cache, mode, parts) => {
      const how = { by: 'attention', placement } as const
      const mask = maskOf(drawn, skip, denseLayers(drawn, how))
      const planner = plannerOf(drawn, how, () => mask)
      await poisonIsUnseen(subject, drawn, mask, parts, { planner, mode, cache })
    },
  ),

  rewound: forAll(
    'rewound to any place after the prompt, a sequence goes on as one that was never fed what it forgot, bit for bit',
    [
      engineCase,
      fc.option(maskSchedule),
      // Asked once or at every token: one that is asked now and then cannot be rewound.
      fc.option(fc.record({ ...askedOnce, every: fc.constantFrom(undefined, 1) })),
      anyCache,
      // The prompt, where it is rewound to, and what is forgotten.
      fc.nat({ max: 11 }),
      fc.nat({ max: 11 }),
      fc.array(fc.nat({ max: 34 }), { maxLength: 4, size: 'max' }),
    ],
    async (subject, drawn, schedule, how, cache, first, more, wrong) => {
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
