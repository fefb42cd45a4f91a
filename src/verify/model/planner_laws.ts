/**
 * Laws of planners in a sequence: when they are asked, what they are shown, which tokens their mask serves, and that a
 * head chosen late finds its whole past.
 */
import { layerMask } from '../../engine/unit_lists.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { shiftLabels } from '../../engine/loss.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import type { SequenceOptions } from '../../engine/sequence.ts'
import { traceForward } from '../../engine/trace.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import {
  anyModel,
  anySequence,
  feedOnce,
  forAll,
  maskOf,
  tokensOf,
  withModel,
  type ModelCase,
} from './cases.ts'
import { poisoned, promptAndSteps } from './mask_laws.ts'

/** The same mask, its first rows dense. */
function denseBelow(rows: number, { shape, heads, neurons }: UnitMask): UnitMask {
  return makeMask(
    shape,
    heads.slice().fill(1, 0, rows * shape.heads),
    neurons.slice().fill(1, 0, rows * shape.neurons),
  )
}

/** How a planner of a law is asked. */
interface Asked {
  readonly way: 'whole model' | 'layer by layer'
  readonly placement: number
  readonly every: number
}

function askedSomehow(model: ModelCase, data: Data): Asked {
  return {
    way: data.pick(['whole model', 'layer by layer']),
    placement: data.below(model.layers),
    every: data.integer(1, 5),
  }
}

/** One number for what a planner is shown; 0 and -0 are the same. */
function digest(values: Float32Array): number {
  const bits = new Int32Array(values.map((value) => value + 0).buffer)
  return bits.reduce((hash, word) => (Math.imul(hash, 31) + word) | 0, 7)
}

/** A planner whose every decision depends on all it is shown. */
function fickle(model: ModelCase, { way, placement, every }: Asked): MaskPlanner {
  const mind = (shown: Float32Array): UnitMask => maskOf(model, new Data(model.seed ^ digest(shown)))
  if (way === 'whole model')
    return {
      name: 'fickle',
      placement,
      every,
      afterAttention: ({ context, ids }) =>
        denseBelow(placement + 1, mind(Float32Array.of(digest(context), ...ids))),
    }
  return {
    name: 'fickle',
    every,
    beforeLayer: (layer, x) => (digest(x) % 5 === 0 ? null : layerMask(mind(x), layer)),
  }
}

/** A planner that changes its mind about a unit or two of each layer at a time. */
function drifting(model: ModelCase, every: number): MaskPlanner {
  return {
    name: 'drifting',
    every,
    afterAttention: ({ tokens }) => {
      const data = new Data(model.seed)
      const mask = maskOf(model, data)
      // The same for equal lengths, however often it is asked.
      for (let t = 0; t < tokens; t++)
        for (let layer = 1; layer < model.layers; layer++) {
          const { heads, neurons } = layerMask(mask, layer)
          neurons[data.below(neurons.length)] = data.below(2)
          if (data.chance(0.2)) heads[data.below(heads.length)] = data.below(2)
        }
      return denseBelow(1, mask)
    },
  }
}

/** The prompt, then the rest in parts as they come, all logits kept. */
function promptAndParts(
  model: OptModel,
  tokens: Int32Array,
  prompt: number,
  options: SequenceOptions,
  partOf: (left: number) => number,
): Float32Array {
  const { vocabulary: V } = model.config
  const logits = new Float32Array(tokens.length * V)
  const sequence = model.begin(options)
  try {
    for (let start = 0; start < tokens.length; start = sequence.length) {
      const end = start === 0 ? prompt : start + partOf(tokens.length - start)
      logits.set(sequence.feed(tokens.slice(start, end), 'all'), start * V)
    }
    return logits
  } finally {
    sequence.dispose()
  }
}

/** Which mask serves each token: 0 is that of the prompt. */
function servedBy(t: number, prompt: number, every: number): number {
  return t < prompt ? 0 : Math.floor((t - (prompt - 1)) / every)
}

export const plannerLaws = {
  plannedIsGiven: forAll(
    'a mask planned in the prompt, after any layer, = that mask given beforehand, for the prompt and every later token',
    [anyModel],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const placement = data.below(model.layers)
        const mask = denseBelow(placement + 1, maskOf(model, data))
        const prompt = data.integer(1, tokens.length)
        const trace = traceForward(loaded, tokens.slice(0, prompt))
        const asked: number[] = []
        const planner: MaskPlanner = {
          name: 'law',
          placement,
          afterAttention({ context, tokens: count, ids }) {
            asked.push(count)
            sameBits("the layer's heads", context, trace.headOut(placement))
            sameBits('ids', ids, tokens.slice(0, prompt))
            return mask
          },
        }
        for (const mode of ['skip', 'simulate'] as const)
          sameNumbers(
            mode,
            promptAndSteps(loaded, tokens, prompt, { planner, mode }),
            promptAndSteps(loaded, tokens, prompt, { mask, mode }),
          )
        sameBits('asked with', asked, [prompt, prompt])
        trace.dispose()
      }),
  ),

  askedWhen: forAll(
    'with `every` = R a planner is asked at the last prompt token and after every R more, however a text is fed, and is shown what a dense pass over the text so far gives',
    [anyModel],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const how = askedSomehow(model, data)
        const trace = traceForward(loaded, tokens)
        const D = loaded.config.width
        const asked: number[] = []
        const inner = fickle(model, how)
        const planner: MaskPlanner = {
          ...inner,
          afterAttention:
            inner.afterAttention &&
            ((view) => {
              const { context, tokens: count, ids } = view
              asked.push(count)
              sameBits('heads so far', context, trace.headOut(how.placement).subarray(0, count * D))
              sameBits('ids so far', ids, tokens.slice(0, count))
              return inner.afterAttention?.(view) as UnitMask
            }),
          beforeLayer:
            inner.beforeLayer &&
            ((layer, x, rows) => {
              if (layer === 0) {
                const from = asked.length === 0 ? 0 : prompt - 1 + how.every * asked.length
                sameBits('stream', x, trace.hidden(0).subarray(from * D, (from + rows) * D))
                asked.push(from + rows)
              }
              return inner.beforeLayer?.(layer, x, rows) ?? null
            }),
        }
        promptAndParts(loaded, tokens, prompt, { planner }, (left) => data.integer(1, left))
        const expected = [prompt]
        for (let t = prompt - 1 + how.every; t < tokens.length; t += how.every) expected.push(t + 1)
        sameBits('asked with', asked, expected)
        trace.dispose()
      }),
  ),

  partsAreSteps: forAll(
    'under a planner that is asked again, feeding or scoring a text at once or in any parts = token by token, bit for bit',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const planner = fickle(model, askedSomehow(model, data))
        const mode = data.pick(['skip', 'pack', 'simulate'] as const)
        const steps = promptAndSteps(loaded, tokens, prompt, { planner, mode })
        const run = (partOf: (left: number) => number): Float32Array =>
          promptAndParts(loaded, tokens, prompt, { planner, mode }, partOf)
        const from = prompt * model.vocabulary
        const later = steps.subarray(from)
        sameBits('at once', run((left) => left).subarray(from), later)
        sameBits('in parts', run((left) => data.integer(1, left)).subarray(from), later)
        const score = (partOf: (left: number) => number): Float32Array => {
          const sequence = loaded.begin({ planner, mode })
          const scores = new Float32Array(tokens.length)
          const targets = shiftLabels(tokens)
          for (let start = 0; start < tokens.length; start = sequence.length) {
            const end = start === 0 ? prompt : start + partOf(tokens.length - start)
            scores.set(sequence.score(tokens.slice(start, end), targets.slice(start, end)), start)
          }
          sequence.dispose()
          return scores
        }
        sameBits(
          'scores',
          score((left) => left),
          score(() => 1),
        )
      }),
  ),

  servesItsTokens: forAll(
    'a mask decided at token p serves tokens p to p + R - 1: where masks differ in the last layer only, each token gets the logits of its mask given for the whole text',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const { way, every } = askedSomehow(model, data)
        const { layers, heads, neurons } = model
        const wholeModel = way === 'whole model' && layers > 1
        const placement = wholeModel ? data.below(layers - 1) : 0
        const base = maskOf(model, data)
        const count = servedBy(tokens.length - 1, prompt, every) + 1
        const masks = Array.from({ length: count }, () => {
          const other = maskOf(model, data)
          const mask = makeMask(base.shape, base.heads.slice(), base.neurons.slice())
          mask.heads.set(other.heads.subarray((layers - 1) * heads), (layers - 1) * heads)
          mask.neurons.set(other.neurons.subarray((layers - 1) * neurons), (layers - 1) * neurons)
          return wholeModel ? denseBelow(placement + 1, mask) : mask
        })
        let asked = 0
        const planner: MaskPlanner = wholeModel
          ? { name: 'law', placement, every, afterAttention: () => masks[asked++] }
          : {
              name: 'law',
              every,
              beforeLayer: (layer) => layerMask(masks[layer === 0 ? asked++ : asked - 1], layer),
            }
        const logits = promptAndParts(loaded, tokens, prompt, { planner }, (left) => data.integer(1, left))
        const V = model.vocabulary
        masks.forEach((mask, n) => {
          const given = feedOnce(loaded, tokens, { mask })
          for (let t = 0; t < tokens.length; t++)
            if (servedBy(t, prompt, every) === n)
              sameNumbers(
                `token ${t} under mask ${n}`,
                logits.subarray(t * V, (t + 1) * V),
                given.subarray(t * V, (t + 1) * V),
              )
        })
      }),
  ),

  noHoles: forAll(
    'a planner that changes its mind skips = simulates: a head chosen late finds keys and values of its whole past, those of the masked stream of their time',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const planner = fickle(model, askedSomehow(model, data))
        sameNumbers(
          'skipped',
          promptAndSteps(loaded, tokens, prompt, {
            planner,
            mode: data.pick(['skip', 'pack', 'auto'] as const),
          }),
          promptAndSteps(loaded, tokens, prompt, { planner, mode: 'simulate' }),
        )
      }),
  ),

  packedFollows: forAll(
    'packed weights follow a planner that changes its mind: packed = skipped, bit for bit',
    [anyModel],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const wayward = fickle(model, { way: 'whole model', every: 1, placement: 0 })
        const planner = data.chance(0.3) ? wayward : drifting(model, data.integer(1, 3))
        sameBits(
          'packed',
          promptAndSteps(loaded, tokens, prompt, { planner, mode: 'pack' }),
          promptAndSteps(loaded, tokens, prompt, { planner, mode: 'skip' }),
        )
      }),
  ),

  fixedNeedsNoMore: forAll(
    'a mask that stays after the prompt leaves nothing to be found later: NaN in the weights of its skipped units changes no bit',
    [anySequence],
    async (subject, model) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const prompt = data.integer(1, tokens.length)
      const placement = data.below(model.layers)
      const mask = denseBelow(placement + 1, maskOf(model, data))
      const planner: MaskPlanner = { name: 'law', placement, afterAttention: () => mask }
      const mode = data.pick(['skip', 'pack'] as const)
      let clean = new Float32Array(0)
      await withModel(subject, model, (loaded) => {
        clean = promptAndSteps(loaded, tokens, prompt, { planner, mode }).slice()
      })
      await withModel(
        subject,
        model,
        (loaded) => {
          // The layers before the decision look at no skipped unit, because they skip none.
          sameBits('poisoned', promptAndSteps(loaded, tokens, prompt, { planner, mode }), clean)
        },
        poisoned(model, mask),
      )
    },
  ),

  rewound: forAll(
    'rewound to any place after the prompt, a sequence goes on as one that was never fed what it forgot, bit for bit',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const planner = { ...fickle(model, askedSomehow(model, data)), every: data.pick([undefined, 1]) }
        const options = data.pick<() => SequenceOptions>([
          () => ({}),
          () => ({ mask: maskOf(model, data) }),
          () => ({ planner }),
        ])()
        const [once, twice] = [loaded.begin(options), loaded.begin(options)]
        try {
          for (const sequence of [once, twice]) sequence.feed(tokens.slice(0, prompt), 'none')
          const at = data.integer(prompt, tokens.length)
          const forgotten = data.ids(tokens.length - at, model.vocabulary)
          if (at > prompt) for (const one of [once, twice]) one.feed(tokens.slice(prompt, at), 'none')
          if (forgotten.length > 0) twice.feed(forgotten, 'none')
          twice.rewind(at)
          sameBits('length', [twice.length], [at])
          if (at === tokens.length) return
          const [expected, actual] = [once, twice].map((one) => one.feed(tokens.slice(at), 'all'))
          sameBits('logits', actual, expected)
        } finally {
          once.dispose()
          twice.dispose()
        }
      }),
  ),
}
