/**
 * The cache that a conversation keeps: a turn that uses it gives the logits of one that starts anew, bit
 * for bit, and it is used wherever that holds.
 *
 * Tests src/engine/layer_cache.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { Conversation } from '../../src/engine/conversation.ts'
import { cacheStorages, type CacheStorage } from '../../src/engine/layer_cache.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence, SequenceOptions } from '../../src/engine/sequence.ts'
import type { MaskMode } from '../../src/engine/active_layer.ts'
import { denseMask, makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner, PlannerBy } from '../../src/masks/planner.ts'
import { Random } from '../../src/tensor/random.ts'
import { finish } from '../harness/finish.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { smallCase, withModel, type ModelCase } from './cases.ts'

const model: ModelCase = {
  ...smallCase,
  layers: 3,
  heads: 4,
  headSize: 4,
  neurons: 20,
  vocabulary: 40,
  positions: 64,
  tied: false,
  seed: 5,
}

const backend = await createBackend('wasm')
const withLoaded = (
  work: (loaded: LanguageModel) => void | Promise<void>,
  over: Backend = backend,
): Promise<void> => withModel({ backend: over, load: LanguageModel.load }, model, work)
afterAll(() => backend.dispose())

/** A mask whose first layers are dense. */
function someMask({ shape }: Pick<LanguageModel, 'shape'>, seed: number, dense = 1): UnitMask {
  const random = new Random(seed)
  const mask = denseMask(shape)
  for (let i = dense * shape.heads; i < mask.heads.length; i++) mask.heads[i] = random.uniform() < 0.5 ? 1 : 0
  for (let i = dense * shape.neurons; i < mask.neurons.length; i++)
    mask.neurons[i] = random.uniform() < 0.5 ? 1 : 0
  return mask
}

/** How large the activations of each neuron are together: [F]. */
function sizes(activations: Float32Array, tokens: number, sums: Float64Array): Float32Array {
  const F = activations.length / tokens
  activations.forEach((value, i) => (sums[i % F] += Math.abs(value)))
  return Float32Array.from(sums)
}

/** Who decides in a turn. */
const deciders = [
  'dense',
  'mask',
  'same',
  'allOnes',
  'byLength',
  'late',
  'again',
  'byLayer',
  'afterPrompt',
  'bySums',
  'behindPrompt',
] as const
type Decider = (typeof deciders)[number]

function decided(loaded: LanguageModel, by: Decider): SequenceOptions {
  const planner = (
    choose: PlannerBy<'attention'>['choose'],
    more: Partial<PlannerBy<'attention'>> = {},
  ): SequenceOptions => ({ planner: { name: by, by: 'attention', ...more, choose } })
  switch (by) {
    case 'dense':
      return {}
    case 'mask':
      return { mask: someMask(loaded, 1) }
    case 'same':
      return planner(() => someMask(loaded, 1))
    case 'allOnes':
      return planner(() => denseMask(loaded.shape))
    case 'byLength':
      return planner(({ tokens }) => someMask(loaded, tokens))
    case 'late':
      return planner(() => someMask(loaded, 2, 2), { sourceLayer: 1 })
    case 'afterPrompt':
      return {
        planner: {
          name: by,
          by: 'prompt',
          summarize: (activations, tokens) => activations.slice(0, activations.length / tokens),
          choose: () => someMask(loaded, 1),
        },
      }
    case 'bySums':
      return {
        planner: {
          name: by,
          by: 'prompt',
          sumsUp: true,
          summarize: sizes,
          choose: ({ tokens, summaries }) => someMask(loaded, tokens + Math.max(...summaries) * 1e6, 0),
        },
      }
    case 'behindPrompt':
      return planner(({ tokens, context }) => someMask(loaded, tokens + Math.abs(context[0] * 1e6), 0), {
        prefill: 'dense',
      })
    case 'again':
      return planner(({ tokens }) => someMask(loaded, tokens), { every: 2 })
    default: {
      const { heads, neurons } = makeMask(
        { ...loaded.shape, layers: 1 },
        new Float32Array(loaded.shape.heads).fill(1),
        Float32Array.from({ length: loaded.shape.neurons }, (_, i) => i % 2),
      )
      return {
        planner: { name: by, by: 'layer', choose: (layer) => (layer === 0 ? null : { heads, neurons }) },
      }
    }
  }
}

interface Turn {
  readonly by: Decider
  readonly cache: CacheStorage
  readonly mode: MaskMode
  /** How much of the text before is kept, and what is added to it. */
  readonly keeps: number
  readonly adds: readonly number[]
  /** Tokens of the answer. */
  readonly answers: number
}

const someTurn: fc.Arbitrary<Turn> = fc.record({
  by: fc.constantFrom(...deciders),
  cache: fc.constantFrom(...cacheStorages),
  mode: fc.constantFrom('auto' as const, 'pack' as const, 'skip' as const),
  keeps: fc.constantFrom(0, 0.5, 0.9, 1),
  adds: fc.array(fc.integer({ min: 0, max: 39 }), { minLength: 1, maxLength: 5 }),
  answers: fc.integer({ min: 0, max: 4 }),
})
/** Turns that are alike, as those of a conversation mostly are. */
const someTurns = fc
  .tuple(fc.array(someTurn, { minLength: 2, maxLength: 4 }), fc.boolean())
  .map(([turns, alike]) =>
    alike
      ? turns.map((turn) => ({ ...turn, by: turns[0].by, cache: turns[0].cache, mode: turns[0].mode }))
      : turns,
  )

/** What keeps the cache of a conversation. */
type Maker = new () => Pick<Conversation, 'begin' | 'keep' | 'dispose'>

/** Feeds the tokens of an answer and returns the logits after each. */
function answered(sequence: Sequence, logits: Float32Array, tokens: readonly number[]): Float32Array[] {
  return [logits, ...tokens.map((token) => sequence.feed(Int32Array.of(token), 'last'))]
}

/**
 * Runs turns with a conversation and anew, and compares every logit.
 * @returns the tokens reused in each turn
 */
function runTurns(loaded: LanguageModel, of: Maker, turns: readonly Turn[]): number[] {
  const kept = new of()
  const reused: number[] = []
  let text: number[] = []
  try {
    for (const { by, cache, mode, keeps, adds, answers } of turns) {
      const prompt = Int32Array.from([...text.slice(0, Math.floor(text.length * keeps)), ...adds])
      const answer = Array.from({ length: answers }, (_, i) => (7 * i + prompt.length) % 40)
      const options = { cache, mode, ...decided(loaded, by) }
      const turn = finish(kept.begin(loaded, prompt, options))
      const found = answered(turn.sequence, turn.logits, answer)
      const mask = turn.sequence.mask
      // One token more was to be fed.
      kept.keep(turn.sequence, [...prompt, ...answer, 1])
      using fresh = loaded.begin(options)
      const expected = answered(fresh, fresh.feed(prompt, 'last'), answer)
      expected.forEach((logits, i) => sameBits(`logits ${i}`, found[i], logits))
      if (by !== 'dense' && by !== 'allOnes' && by !== 'again') expect(mask?.heads).toEqual(fresh.mask?.heads)
      reused.push(turn.reused)
      text = [...prompt, ...answer]
    }
    return reused
  } finally {
    kept.dispose()
  }
}

const reuseIsUnseen = lawForAll(
  'a turn that uses the kept cache gives the logits of one that starts anew, bit for bit',
  { turns: someTurns },
  (of: Maker, { turns }) =>
    withLoaded((loaded) => {
      const before = loaded.backend.liveBuffers
      runTurns(loaded, of, turns)
      expect(loaded.backend.liveBuffers).toBe(before)
    }),
)
stateLaw(reuseIsUnseen, Conversation)

// ---- Mutants ----------------------------------------------------------------------------------------------

/** Takes one more token of the kept text for shared. */
class OneTooMany extends Conversation {
  #fed: readonly number[] = []
  override begin(
    ...[loaded, prompt, options]: Parameters<Conversation['begin']>
  ): ReturnType<Conversation['begin']> {
    const shared = this.#fed.findIndex((token, i) => token !== prompt[i])
    const claimed = prompt.slice()
    if (shared > 0 && shared < prompt.length - 1) claimed[shared] = this.#fed[shared]
    return super.begin(loaded, claimed, options)
  }
  override keep(sequence: Sequence, tokens: readonly number[]): void {
    this.#fed = tokens
    super.keep(sequence, tokens)
  }
}

/** Runs every turn with some options of the first. */
const withFirst = (pick: (first: SequenceOptions) => SequenceOptions): Maker =>
  class extends Conversation {
    #first: SequenceOptions | null = null
    override begin(
      ...[loaded, prompt, options]: Parameters<Conversation['begin']>
    ): ReturnType<Conversation['begin']> {
      this.#first ??= options
      return super.begin(loaded, prompt, { ...options, ...pick(this.#first) })
    }
  }

killsEach('a conversation that %s is found', reuseIsUnseen, {
  'reuses one token too many': OneTooMany,
  'ignores that the storage of the cache changed': withFirst(({ cache }) => ({ cache })),
  'keeps the mask though another is decided': withFirst(({ planner = null, mask = null }) => ({
    planner,
    mask,
  })),
  'asks the planner about the new tokens only': class extends Conversation {
    override begin(
      ...[loaded, prompt, options]: Parameters<Conversation['begin']>
    ): ReturnType<Conversation['begin']> {
      const { planner } = options
      const view = (tokens: number): number => Math.max(1, tokens - 1)
      if (planner?.by !== 'attention') return super.begin(loaded, prompt, options)
      const asked: MaskPlanner = {
        ...planner,
        by: 'attention',
        choose: ({ context, tokens, ids }) => planner.choose({ context, tokens: view(tokens), ids }),
      }
      return super.begin(loaded, prompt, { ...options, planner: asked })
    }
  },
  'keeps a sequence whose tokens ran under several masks': class extends Conversation {
    override begin(
      ...[loaded, prompt, options]: Parameters<Conversation['begin']>
    ): ReturnType<Conversation['begin']> {
      const { planner } = options
      const hidden = planner?.every === undefined ? planner : { ...planner, every: undefined }
      return super.begin(loaded, prompt, { ...options, planner: hidden })
    }
  },
  'goes on from the sums of a prompt that has changed': class extends Conversation {
    override begin(
      ...[loaded, prompt, options]: Parameters<Conversation['begin']>
    ): ReturnType<Conversation['begin']> {
      const { planner } = options
      if (planner?.by !== 'prompt' || planner.sumsUp !== true) return super.begin(loaded, prompt, options)
      const asked: PlannerBy<'prompt'> = {
        ...planner,
        choose: ({ summaries, ...view }) => {
          const mask = planner.choose({ ...view, summaries: this.#last ?? summaries })
          this.#last = summaries
          return mask
        },
      }
      return super.begin(loaded, prompt, { ...options, planner: asked })
    }
    #last: Float32Array | null = null
  },
  'does not free what it kept': class extends Conversation {
    override dispose(): void {}
  },
})

// ---- What is used again -----------------------------------------------------------------------------------

const turn = (by: Decider, more: Partial<Turn> = {}): Turn => ({
  by,
  cache: 'f32',
  mode: 'auto',
  keeps: 1,
  adds: [1, 2, 3],
  answers: 2,
  ...more,
})

describe('the tokens used again are all that are shared', () => {
  const all = [0, 5, 10]
  test.each<[string, readonly Turn[], number[]]>([
    ['dense', [turn('dense'), turn('dense'), turn('dense')], all],
    ['under one mask', [turn('mask'), turn('mask'), turn('mask')], all],
    ['under a planner that decides the same', [turn('same'), turn('same'), turn('same')], all],
    ['under a planner and the mask it decides', [turn('mask'), turn('same'), turn('mask')], all],
    ['under a planner that keeps every unit', [turn('allOnes'), turn('dense'), turn('allOnes')], all],
    ['under a later source layer', [turn('late'), turn('late'), turn('late')], all],
    ['under another mask: none', [turn('byLength'), turn('byLength'), turn('dense')], [0, 0, 0]],
    ['under a planner asked again: none', [turn('again'), turn('again'), turn('dense')], [0, 0, 0]],
    [
      'after a dense prompt: none',
      [turn('afterPrompt'), turn('afterPrompt'), turn('mask'), turn('afterPrompt')],
      [0, 0, 0, 0],
    ],
    [
      'under masks behind dense prompts: the last prompt, and all of a dense text',
      [turn('behindPrompt'), turn('behindPrompt'), turn('dense'), turn('dense'), turn('behindPrompt')],
      [0, 3, 8, 15, 20],
    ],
    [
      'by sums over the prompt: the last prompt so decided, where nothing of it has changed',
      [
        turn('bySums'),
        turn('bySums'),
        turn('dense'),
        turn('bySums'),
        turn('behindPrompt'),
        turn('bySums'),
        turn('bySums', { keeps: 0.5 }),
        turn('afterPrompt'),
        turn('bySums'),
      ],
      [0, 3, 8, 8, 18, 23, 0, 0, 0],
    ],
    ['layer by layer: none', [turn('byLayer'), turn('byLayer'), turn('dense')], [0, 0, 0]],
    ['with another storage: none', [turn('dense'), turn('dense', { cache: 'int8' })], [0, 0]],
    ['with another mode: none', [turn('dense'), turn('dense', { mode: 'skip' })], [0, 0]],
    ['of a text that parts', [turn('dense'), turn('dense', { keeps: 0.6, adds: [9, 9] })], [0, 3]],
  ])('%s', (_, turns, expected) => {
    let reused: number[] = []
    return withLoaded((loaded) => void (reused = runTurns(loaded, Conversation, turns))).then(() =>
      expect(reused).toEqual(expected),
    )
  })

  test('and the last token of the prompt is always run', () =>
    withLoaded((loaded) => {
      const kept = new Conversation()
      const prompt = Int32Array.of(1, 2, 3)
      const first = finish(kept.begin(loaded, prompt, {}))
      kept.keep(first.sequence, [...prompt])
      const second = finish(kept.begin(loaded, prompt, {}))
      expect(second.reused).toBe(2)
      sameBits('logits', second.logits, first.logits)
      kept.keep(second.sequence, [...prompt])
      kept.dispose()
    }))
})

overQuickBackends((other) => {
  test('a planner that fails leaves nothing behind, and the next turn runs', () =>
    withLoaded((loaded) => {
      const before = other.liveBuffers
      const kept = new Conversation()
      const prompt = Int32Array.of(1, 2, 3)
      const first = finish(kept.begin(loaded, prompt, {}))
      kept.keep(first.sequence, [...prompt])
      const planner: MaskPlanner = {
        name: 'none',
        by: 'attention',
        choose: () => {
          throw new Error('no idea')
        },
      }
      expect(() => finish(kept.begin(loaded, Int32Array.of(1, 2, 3, 4), { planner }))).toThrow('no idea')
      expect(other.liveBuffers).toBe(before)
      const next = finish(kept.begin(loaded, Int32Array.of(1, 2, 3, 4), {}))
      expect(next.reused).toBe(0)
      kept.dispose()
      kept.keep(next.sequence, [])
      expect(other.liveBuffers).toBe(before)
    }, other))
})

describe('rewinding with the mask that is decided', () =>
  overQuickBackends((other) => {
    test('goes into the prompt, and is refused for another mask or planner', () =>
      withLoaded((loaded) => {
        const begin = (by: Decider): Sequence => {
          const sequence = loaded.begin(decided(loaded, by))
          sequence.feed(Int32Array.of(3, 4, 5), 'none')
          return sequence
        }
        const mask = someMask(loaded, 1)
        const other = (by: Decider, to: number, decidedMask: UnitMask | null): (() => void) => {
          return () => {
            using sequence = begin(by)
            sequence.rewind(to, decidedMask)
          }
        }
        other('same', 1, mask)()
        other('dense', 1, null)()
        other('dense', 1, denseMask(loaded.shape))()
        {
          // What follows is no part of the prompt.
          using sequence = begin('same')
          sequence.rewind(1, mask)
          sequence.feed(Int32Array.of(6, 7), 'none')
          sequence.rewind(2)
        }
        expect(other('same', 1, null)).toThrow('expected the mask in force')
        expect(other('dense', 1, mask)).toThrow('expected the mask in force')
        expect(other('again', 1, mask)).toThrow('expected one that decides once')
        for (const by of ['byLayer', 'afterPrompt'] as const)
          expect(other(by, 1, mask)).toThrow('expected one that decides once')
        for (const to of [0, 4, 1.5]) expect(other('same', to, mask)).toThrow('expected 1 to 3 tokens')
      }, other))
  }))
