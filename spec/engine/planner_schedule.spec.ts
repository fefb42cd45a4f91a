/**
 * What a sequence refuses of a planner, and that a wide vocabulary, whose logits are computed a few rows at a time,
 * changes nothing.
 */
import { describe, expect, test } from 'vitest'
import { denseMask, makeMask, type UnitMask } from '../../src/masks/mask.ts'
import {
  wrapPlanner,
  type MaskPlanner,
  type PlannerBy,
  type PlannerSettings,
} from '../../src/masks/planner.ts'
import { shiftLabels } from '../../src/engine/loss.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { overBackends, overQuickBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { smallCase, withModel, type ModelCase } from './cases.ts'
import { feedInParts } from '../../src/verify/model/engine_cases.ts'

const model: ModelCase = { ...smallCase, layers: 3, headSize: 2, neurons: 5, positions: 12 }

describe('refused by name', () =>
  overBackends((backend) => {
    const subject = { backend, load: LanguageModel.load }
    const shape = { layers: 3, heads: 2, neurons: 5 }
    const dense = denseMask(shape)
    const whole = (more: Partial<PlannerBy<'attention'>>): PlannerBy<'attention'> => ({
      name: 'odd',
      by: 'attention',
      choose: () => dense,
      ...more,
    })
    const odd = (more: object): MaskPlanner => ({ name: 'odd', ...more }) as MaskPlanner
    const some = (): Float32Array => new Float32Array(5)
    const late = { by: 'prompt', summarize: some, choose: () => dense }
    const byGate = { by: 'gate', every: 1, summarize: some, choose: some }
    const byChannel = { by: 'channels', every: 1, choose: some }
    const without = (kind: 'heads' | 'neurons', layer: number): PlannerBy<'attention'>['choose'] => {
      const mask = makeMask(shape, dense.heads.slice(), dense.neurons.slice())
      mask[kind][layer * shape[kind] + 1] = 0
      return () => mask
    }

    test.each<[string, string, MaskPlanner]>([
      ['no way of deciding', 'PLANNER', odd({})],
      ['a way that there is none of', 'PLANNER', odd({ by: 'luck', choose: some })],
      ['a way that every object has', 'PLANNER', odd({ by: 'constructor', choose: some })],
      ['a way without a decision', 'PLANNER', odd({ by: 'attention' })],
      ['a decision that is no function', 'PLANNER', odd({ by: 'layer', choose: dense })],
      ['a decision by prompt that is shown nothing', 'PLANNER', odd({ by: 'prompt', choose: () => dense })],
      ['a decision by prompt whose summary is no function', 'PLANNER', odd({ ...late, summarize: dense })],
      ['a masked prompt where the decision comes after it', 'PREFILL', odd({ ...late, prefill: 'masked' })],
      ['a prompt that is neither dense nor masked', 'PREFILL', whole({ prefill: 'half' as 'dense' })],
      [
        'a decision by gates whose cut-offs nobody makes',
        'PLANNER',
        odd({ ...byGate, summarize: undefined }),
      ],
      ['a decision by gates now and then', 'EVERY', odd({ ...byGate, every: 2 })],
      ['a decision by gates once', 'EVERY', odd({ ...byGate, every: undefined })],
      ['a masked prompt where gates decide', 'PREFILL', odd({ ...byGate, prefill: 'masked' })],
      ['a decision about channels now and then', 'EVERY', odd({ ...byChannel, every: 2 })],
      ['a decision about channels once', 'EVERY', odd({ ...byChannel, every: undefined })],
      ['a masked prompt where channels are chosen', 'PREFILL', odd({ ...byChannel, prefill: 'masked' })],
      ['a second decision after the prompt', 'EVERY', odd({ ...late, every: 4 })],
      ['a planner that is to see the answer', 'PLANNER', whole({ leaky: true })],
      ['a layer that is not there', 'PLACEMENT', whole({ sourceLayer: 3 })],
      ['a layer before the first', 'PLACEMENT', whole({ sourceLayer: -1 })],
      ['half a layer', 'PLACEMENT', whole({ sourceLayer: 0.5 })],
      ['every no tokens', 'EVERY', whole({ every: 0 })],
      ['every half a token', 'EVERY', whole({ every: 0.5 })],
      ['a shift without windows', 'EVERY', whole({ shift: 0.1 })],
      ['a shift of no size', 'EVERY', whole({ every: 2, shift: NaN })],
      ['a shift where no source layer is read', 'EVERY', odd({ ...byGate, shift: 0.1 })],
    ])('%s', (_, code, planner) =>
      withModel(subject, model, (loaded) =>
        expect(() => loaded.begin({ planner })).toThrow(expect.objectContaining({ code, exitCode: 2 })),
      ),
    )

    test.each<[string, MaskPlanner]>([
      [
        'planner odd: expected a decision at every token, because it decides by gate, got one; set every: 1',
        odd({ ...byGate, every: undefined }),
      ],
      [
        'planner odd: expected a decision at every token, because it decides by channels, got one every 2 tokens; set every: 1',
        odd({ ...byChannel, every: 2 }),
      ],
      [
        'planner odd: expected one decision, when the prompt has run, got one every 1 tokens; leave every out',
        odd({ ...late, every: 1 }),
      ],
      [
        'planner odd, every: expected a whole number from 1, got 0; set every: 1 to decide at every token',
        odd({ by: 'layer', every: 0, choose: () => null }),
      ],
      [
        'planner odd, every: expected a whole number from 1, got the text auto; set every: 1 to decide at every token',
        odd({ by: 'layer', every: 'auto', choose: () => null }),
      ],
      [
        'planner odd: expected one that decides again after the attention of its source layer, got another with a shift of 0.1; set every: 1',
        whole({ shift: 0.1 }),
      ],
    ])('%s', (message, planner) =>
      withModel(subject, model, (loaded) =>
        expect(() => loaded.begin({ planner })).toThrow(expect.objectContaining({ code: 'EVERY', message })),
      ),
    )

    test.each<[string, string, MaskPlanner]>([
      ['sourceLayer', 'placement', odd({ ...whole({}), placement: 1 })],
      ['sourceLayer', 'source_layer', odd({ ...whole({}), source_layer: 1 })],
      ['every', 'evry', odd({ ...whole({}), evry: 4 })],
      ['prefill', 'preFill', odd({ ...whole({}), preFill: 'dense' })],
      ['leaky', 'leak', odd({ ...byGate, leak: true })],
      ['summarize', 'summarise', odd({ ...byChannel, summarise: some })],
    ])('the field %s by the name %s, also in a wrapped planner', (setting, field, planner) =>
      withModel(subject, model, (loaded) => {
        const refused = expect.objectContaining({
          code: 'PLANNER',
          message: `planner odd: expected the field ${setting}, got ${field}`,
        })
        expect(() => loaded.begin({ planner })).toThrow(refused)
        expect(() => wrapPlanner(planner, (ask) => ask())).toThrow(refused)
      }),
    )

    test('no field of the planner itself, and none beside the setting that it resembles', () =>
      withModel(subject, model, (loaded) => {
        for (const own of [
          { asked: 0, top: 3, layer: 2, ranking: null },
          { sourceLayer: 0, placement: 'a note' },
          { every: 2, shift: 0.1, shifts: 0, evry: 1 },
        ]) {
          const planner = { ...whole({}), ...own } as MaskPlanner
          for (const one of [planner, { ...planner, every: 4 }, wrapPlanner(planner, (ask) => ask())])
            loaded.begin({ planner: one }).dispose()
        }
        const byAnother = odd({ ...byGate, placement: 1, shifts: 0 })
        loaded.begin({ planner: byAnother }).dispose()
      }))

    test('a summary that is not a number for each neuron, and no mask, when the prompt has run', () =>
      withModel(subject, model, (loaded) => {
        for (const [code, more] of [
          ['SCORE_SHAPE', { ...late, summarize: () => new Float32Array(4) }],
          ['SCORE_SHAPE', { ...late, summarize: () => undefined }],
          ['MASK_SHAPE', { ...byGate, choose: () => new Float32Array(4) }],
          ['MASK_VALUE', { ...byGate, choose: () => new Float32Array(5).fill(0.5) }],
          ['MASK_SHAPE', { ...byChannel, choose: () => new Float32Array(3) }],
          ['MASK_VALUE', { ...byChannel, choose: () => new Float32Array(4).fill(0.5) }],
          ['MASK_SHAPE', { ...late, choose: () => null }],
          ['MASK_SHAPE', { by: 'attention', choose: () => null }],
        ] as const) {
          const sequence = loaded.begin({ planner: odd(more) })
          expect(() => sequence.feed(Int32Array.of(3, 4))).toThrow(
            expect.objectContaining({ code, exitCode: 2 }),
          )
          expect(sequence.length).toBe(0)
          sequence.dispose()
        }
      }))

    test('a planner that fails when the prompt has run leaves a sequence that can begin again, dense', () =>
      withModel(subject, model, (loaded) => {
        const skipping = makeMask(shape, dense.heads.slice().fill(0), dense.neurons.slice().fill(0))
        let calls = 0
        const failing: MaskPlanner = {
          name: 'odd',
          prefill: 'dense',
          by: 'layer',
          choose(layer) {
            if (layer === 2 && ++calls === 1) throw new Error('no idea')
            return { heads: skipping.heads.slice(0, 2), neurons: skipping.neurons.slice(0, 5) }
          },
        }
        const prompt = Int32Array.of(3, 4)
        const sequence = loaded.begin({ planner: failing })
        expect(() => sequence.feed(prompt)).toThrow('no idea')
        const fresh = loaded.begin()
        sameBits('logits', sequence.feed(prompt, 'all'), fresh.feed(prompt, 'all'))
        expect(sequence.mask).toEqual(skipping)
        sequence.dispose()
        fresh.dispose()
      }))

    test('a mask that skips what has run dense, when it is planned', () =>
      withModel(subject, model, (loaded) => {
        for (const kind of ['heads', 'neurons'] as const)
          for (const layer of [0, 1, 2]) {
            const sequence = loaded.begin({
              planner: whole({ sourceLayer: 1, by: 'attention', choose: without(kind, layer) }),
            })
            const feed = (): unknown => sequence.feed(Int32Array.of(3, 4))
            if (layer <= 1) expect(feed).toThrow('planner odd, choose, mask: expected ones for layers 0 to 1')
            else expect(feed).not.toThrow()
            sequence.dispose()
          }
      }))

    test('after a dense prompt one decision may skip any layer, and another later may not', () =>
      withModel(subject, model, (loaded) => {
        const choose = without('neurons', 0)
        const once = loaded.begin({ planner: whole({ sourceLayer: 1, prefill: 'dense', choose }) })
        once.feed(Int32Array.of(3, 4), 'none')
        const mask = once.mask as UnitMask
        const given = loaded.begin({
          planner: whole({ prefill: 'dense', by: 'attention', choose: () => mask }),
        })
        given.feed(Int32Array.of(3, 4), 'none')
        sameBits('logits', once.feed(Int32Array.of(5, 6), 'all'), given.feed(Int32Array.of(5, 6), 'all'))
        const again = loaded.begin({
          planner: whole({ sourceLayer: 1, prefill: 'dense', every: 1, choose }),
        })
        expect(() => again.feed(Int32Array.of(3, 4))).toThrow(
          'planner odd, choose, mask: expected ones for layers 0 to 1',
        )
        for (const sequence of [once, given, again]) sequence.dispose()
      }))

    test('a planner that fails leaves the sequence as long as it was, and it can go on', () =>
      withModel(subject, model, (loaded) => {
        let calls = 0
        const planner = whole({
          every: 2,
          choose() {
            if (++calls === 2) throw new Error('no idea')
            return dense
          },
        })
        const sequence = loaded.begin({ planner })
        sequence.feed(Int32Array.of(3, 4), 'none')
        expect(() => sequence.feed(Int32Array.of(5, 6, 7), 'none')).toThrow('no idea')
        // One token was run under the mask of the prompt; the next is the one the planner failed at.
        expect(sequence.length).toBe(3)
        const rest = sequence.feed(Int32Array.of(6, 7), 'last')
        const fresh = loaded.begin()
        sameBits('logits', rest, fresh.feed(Int32Array.of(3, 4, 5, 6, 7), 'last'))
        sequence.dispose()
        fresh.dispose()
      }))
  }))

/** A planner that keeps every unit. */
function whole({ shape }: LanguageModel, more: Partial<PlannerSettings>): MaskPlanner {
  return { name: 'odd', by: 'attention', choose: () => denseMask(shape), ...more }
}

describe('rewinding', () =>
  overBackends((backend) => {
    test('is refused into the prompt, past the end and under a planner asked now and then', () =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const rewound = (length: number, every?: number): (() => void) => {
          const sequence = loaded.begin({ planner: whole(loaded, { every }) })
          sequence.feed(Int32Array.of(3, 4), 'none')
          sequence.feed(Int32Array.of(5), 'none')
          return () => {
            try {
              sequence.rewind(length)
            } finally {
              sequence.dispose()
            }
          }
        }
        for (const length of [2, 3]) for (const every of [undefined, 1]) rewound(length, every)()
        for (const length of [1, 4, 2.5]) expect(rewound(length)).toThrow('expected 2 to 3 tokens')
        expect(rewound(2, 2)).toThrow('got one asked after every 2')
      }))

    test('is refused under a planner that waits for a shift of attention', () =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const planner = whole(loaded, { every: 1, shift: 0.1 })
        const sequence = loaded.begin({ planner })
        sequence.feed(Int32Array.of(3, 4), 'none')
        expect(() => sequence.rewind(2)).toThrow('got one asked when attention shifts')
        sequence.dispose()
      }))
  }))

describe('a dense feed', () =>
  overBackends((backend) => {
    test('is refused where heads may be missing in the cache: after no prompt, or after a masked one', () =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const refused = expect.objectContaining({ code: 'PREFILL', exitCode: 2 }) as object
        const planner = whole(loaded, {})
        for (const options of [{ planner }, { mask: denseMask(loaded.shape) }]) {
          const sequence = loaded.begin(options)
          sequence.feed(Int32Array.of(3, 4), 'none')
          expect(() => sequence.feedDense(Int32Array.of(5))).toThrow(refused)
          sequence.dispose()
        }
        const dense = loaded.begin()
        expect(() => dense.feedDense(Int32Array.of(5))).toThrow(refused)
        dense.feed(Int32Array.of(3, 4), 'none')
        dense.feedDense(Int32Array.of(5), 'none')
        expect(dense.length).toBe(3)
        dense.dispose()
      }))
  }))

describe('a vocabulary so wide that logits come a few rows at a time', () =>
  overQuickBackends((backend) => {
    const wide: ModelCase = { ...model, layers: 1, headSize: 1, vocabulary: 400_000, positions: 8 }

    test('gives the logits and scores of single tokens', () =>
      withModel({ backend, load: LanguageModel.load }, wide, (loaded) => {
        const tokens = Int32Array.of(399_999, 1, 200_000, 7, 3, 60_000)
        const targets = shiftLabels(tokens)
        const planner: MaskPlanner = {
          name: 'dense',
          every: 5,
          by: 'attention',
          choose: () => denseMask(loaded.shape),
        }
        const steps = feedInParts(loaded, tokens, [...tokens.keys()])
        const [once, singly] = [loaded.begin({ planner }), loaded.begin()]
        once.feed(tokens.slice(0, 1), 'none')
        sameBits('logits', once.feed(tokens.slice(1), 'all'), steps.subarray(wide.vocabulary))
        once.dispose()
        const again = loaded.begin({ planner })
        again.score(tokens.slice(0, 1), targets.slice(0, 1))
        const scores = again.score(tokens.slice(1), targets.slice(1))
        const expected = [...tokens.keys()].map(
          (t) => singly.score(tokens.slice(t, t + 1), targets.slice(t, t + 1))[0],
        )
        sameBits('scores', scores, expected.slice(1))
        again.dispose()
        singly.dispose()
      }))
  }))
