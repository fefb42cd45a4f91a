/**
 * A wrong answer of a planner is refused by an error that names the planner, the question and the layer, in the first turn of a chat
 * and in every later one.
 */
import { describe, expect, test } from 'vitest'
import { Conversation } from '../../src/engine/conversation.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { denseMask, makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { overBackends } from '../harness/backends.ts'
import { smallCase, withModel, type ModelCase } from './cases.ts'

const model: ModelCase = { ...smallCase, layers: 3, headSize: 2, neurons: 5, positions: 12 }
const shape = { layers: 3, heads: 2, neurons: 5 }
const ones = (count: number): Float32Array => new Float32Array(count).fill(1)
const dense = denseMask(shape)
const halved = makeMask(shape, ones(6), ones(15))
halved.neurons[7] = 0.5
const skipping = makeMask(shape, ones(6), ones(15))
skipping.heads[1] = 0

type Answer = (...args: never[]) => unknown
const odd = (by: MaskPlanner['by'], choose: Answer, more: object = {}): MaskPlanner =>
  ({ name: 'odd', by, choose, ...more }) as never
const inLayer = (answer: unknown) => odd('layer', (layer: number) => (layer === 1 ? answer : null))
const byPrompt = (choose: Answer, summarize: Answer = () => ones(5)) => odd('prompt', choose, { summarize })
const byGate = (choose: Answer, summarize: Answer = () => ones(1)) =>
  odd('gate', choose, { every: 1, summarize })
const byChannels = (choose: Answer, summarize?: Answer) =>
  odd('channels', choose, { every: 1, ...(summarize && { summarize }) })
const from1 = (layer: number, wrong: unknown): unknown => (layer === 1 ? wrong : ones(5))

const wrong: [expected: string, code: string, planner: MaskPlanner][] = [
  [
    'choose in layer 1, mask: expected heads and neurons, or null for a dense layer, got undefined',
    'MASK_SHAPE',
    inLayer(undefined),
  ],
  [
    'choose in layer 1, mask: expected heads and neurons, or null for a dense layer, got the text all',
    'MASK_SHAPE',
    inLayer('all'),
  ],
  [
    'choose in layer 1, head mask: expected [2], got 3 numbers',
    'MASK_SHAPE',
    inLayer({ heads: ones(3), neurons: ones(5) }),
  ],
  [
    'choose in layer 1, neuron mask: expected [5] in a Float32Array, got a list of 2',
    'MASK_SHAPE',
    inLayer({ heads: ones(2), neurons: [0, 9] }),
  ],
  [
    'choose in layer 1, head mask[0]: expected 0 or 1 to skip by, got NaN',
    'MASK_VALUE',
    inLayer({ heads: ones(2).fill(NaN), neurons: ones(5) }),
  ],
  ['choose, mask: expected a shape and two tables, got undefined', 'MASK_SHAPE', odd('attention', () => {})],
  [
    'choose, head mask: expected [3, 2], got 5 numbers',
    'MASK_SHAPE',
    odd('attention', () => ({ ...dense, heads: ones(5) })),
  ],
  [
    'choose, mask: expected 3 layers of 2 heads and 5 neurons, got 2 layers of 2 heads and 5 neurons',
    'MASK_SHAPE',
    odd('attention', () => denseMask({ ...shape, layers: 2 })),
  ],
  [
    'choose, layer 1, neuron mask[2]: expected 0 or 1 to skip by, got 0.5',
    'MASK_VALUE',
    odd('attention', () => halved),
  ],
  [
    'choose, mask: expected ones for layers 0 to 0, which run dense, got others in layer 0',
    'PLANNER_MASK',
    odd('attention', () => skipping),
  ],
  ['choose, mask: expected a shape and two tables, got null', 'MASK_SHAPE', byPrompt(() => null)],
  [
    'choose, layer 1, neuron mask[2]: expected 0 or 1 to skip by, got 0.5',
    'MASK_VALUE',
    byPrompt(() => halved),
  ],
  [
    'summarize in layer 0, summary: expected [5], got 4 numbers',
    'SCORE_SHAPE',
    byPrompt(
      () => dense,
      () => ones(4),
    ),
  ],
  [
    'choose in layer 1, neuron mask: expected [5] in a Float32Array, got undefined',
    'MASK_SHAPE',
    byGate((layer: number) => from1(layer, undefined)),
  ],
  [
    'choose in layer 1, neuron mask[0]: expected 0 or 1 to skip by, got 2',
    'MASK_VALUE',
    byGate((layer: number) => from1(layer, ones(5).fill(2))),
  ],
  [
    'summarize in layer 1, summary: expected numbers in a Float32Array, got undefined',
    'SCORE_SHAPE',
    byGate(
      () => ones(5),
      (layer: number) => from1(layer, undefined),
    ),
  ],
  [
    'choose in layer 0, site attention, channel mask: expected [4], got 3 numbers',
    'MASK_SHAPE',
    byChannels(() => ones(3)),
  ],
  [
    'choose in layer 0, site attention, channel mask[0]: expected 0 or 1 to skip by, got 3',
    'MASK_VALUE',
    byChannels((_layer: number, _site: string, x: Float32Array) => ones(x.length).fill(3)),
  ],
  [
    'summarize in layer 0, site attention, summary: expected numbers in a Float32Array, got undefined',
    'SCORE_SHAPE',
    byChannels(
      (_layer: number, _site: string, x: Float32Array) => ones(x.length),
      () => {},
    ),
  ],
]

describe('a wrong answer is refused, and nothing was fed', () =>
  overBackends((backend) =>
    test.each(wrong)('%s', (message, code, planner) =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const sequence = loaded.begin({ planner })
        expect(() => sequence.feed(Int32Array.of(3, 4))).toThrow(
          expect.objectContaining({ code, exitCode: 2, message: `planner odd, ${message}` }),
        )
        expect(sequence.length).toBe(0)
        sequence.dispose()
      }),
    ),
  ))

describe('a mask of other numbers than 0 and 1 is taken where units are multiplied by it', () =>
  overBackends((backend) =>
    test.each([
      ['attention', odd('attention', () => halved)],
      ['prompt', byPrompt(() => halved)],
      ['layer', inLayer({ heads: ones(2), neurons: ones(5).fill(0.5) })],
      ['gate', byGate(() => ones(5).fill(0.5))],
      ['channels', byChannels((_layer: number, _site: string, x: Float32Array) => ones(x.length).fill(0.5))],
    ])('by %s', (_, planner) =>
      withModel({ backend, load: LanguageModel.load }, model, (loaded) => {
        const sequence = loaded.begin({ planner, mode: 'simulate' })
        sequence.feed(Int32Array.of(3, 4), 'none')
        sequence.feed(Int32Array.of(5), 'none')
        sequence.dispose()
      }),
    ),
  ))

describe('a wrong answer is refused in the second turn of a chat as in the first', () =>
  overBackends((backend) => {
    const answers: [string, unknown][] = wrong
      .filter(([, , { by }]) => by === 'attention')
      .map(([message, , planner]) => [message, (planner.choose as unknown as () => UnitMask)()])
    const prefills = ['masked', 'dense'] as const
    const cases = prefills.flatMap((prefill) => answers.map((one) => [prefill, ...one] as const))
    test.each(cases)('%s prompt: %s', (prefill, message, answer) =>
      withModel({ backend, load: LanguageModel.load }, model, async (loaded) => {
        // After a dense prompt any layer may be skipped.
        if (prefill === 'dense' && answer === skipping) return
        const conversation = new Conversation()
        let asked = 0
        const planner = odd('attention', () => (++asked === 1 ? dense : answer), { prefill })
        const turn = async (prompt: readonly number[]): Promise<void> => {
          const how = { planner, maxTokens: 2, stopIds: [], conversation }
          for await (const _ of generateTokens(loaded, Int32Array.from(prompt), how));
        }
        await turn([3, 4])
        await expect(turn([3, 4, 5, 6])).rejects.toThrow(`planner odd, ${message}`)
        conversation.dispose()
      }),
    )
  }))
