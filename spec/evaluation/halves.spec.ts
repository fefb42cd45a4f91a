/**
 * An oracle that chooses by one half of what is scored, for the other half: each half has the mask of the other one's scores, and
 * no token is scored under a mask that it has chosen.
 *
 * Tests src/evaluation/window_evaluator.ts.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { plainact } from '../../src/criteria/plainact.ts'
import { WindowEvaluator, type MethodScore } from '../../src/evaluation/window_evaluator.ts'
import { achievedBy } from '../../src/masks/achieved.ts'
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import { oraclePlanner } from '../../src/planners/oracle.ts'
import { scoreText } from '../../src/planners/prompt_plainact.ts'
import { makeMethod, methodBudget, type Method } from '../../src/results/method.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { readByHand } from './by_hand.ts'
import { useSmallModel } from './small_model.ts'

const small = useSmallModel('wasm')

const methodOf = (sparsity: number, halves = true): Method =>
  makeMethod({ planner: 'oracle', criterion: 'plainact', sparsity, halves })

type Score = (tokens: Int32Array, promptLength: number, sparsity: number) => MethodScore

const evaluated =
  (method: (sparsity: number) => Method): Score =>
  (tokens, promptLength, sparsity) => {
    const text = { windows: [{ tokens, promptLength, words: 3 }], seed: 0 }
    return new WindowEvaluator(small.source().model, text, { compared: true }).score(method(sparsity), {})[0]
  }

const knowsTheOther = lawForAll(
  'each half of a window costs what it costs under the mask of the other half',
  {
    tokens: fc.array(fc.nat({ max: 39 }), { minLength: 8, maxLength: 16, size: 'max' }),
    promptLength: fc.integer({ min: 2, max: 5 }),
    sparsity: fc.constantFrom(0.25, 0.5),
  },
  (score: Score, { tokens: ids, promptLength, sparsity }) => {
    const { model } = small.source()
    const tokens = Int32Array.from(ids)
    const middle = Math.floor((promptLength + tokens.length) / 2)
    const dense = readByHand(model, { tokens, promptLength }, null).rows
    const half = (start: number, end: number, seen: readonly [number, number]): number[] => {
      const labels = tokens.map((token, t) => (t >= seen[0] && t < seen[1] ? token : NOT_SCORED))
      const scores = scoreText(model, tokens, labels, plainact, 0)
      const planner = oraclePlanner(scores, methodBudget(methodOf(sparsity)))
      const { rows, mask } = readByHand(model, { tokens: tokens.slice(0, end), promptLength }, planner)
      let [nll, kl, agreed] = [0, 0, 0]
      for (let t = start; t < end; t++) {
        const [own, other] = [rows.get(t) as number[], dense.get(t) as number[]]
        nll -= own[tokens[t]]
        kl += other.reduce((sum, log, i) => sum + Math.exp(log) * (log - own[i]), 0)
        agreed += Number(own.indexOf(Math.max(...own)) === other.indexOf(Math.max(...other)))
      }
      return [nll, kl, agreed, achievedBy(mask, model.config).neurons]
    }
    const first = half(promptLength, middle, [middle, tokens.length])
    const second = half(middle, tokens.length, [promptLength, middle])
    const found = score(tokens, promptLength, sparsity)
    expect(found).toMatchObject({ tokens: tokens.length - promptLength, words: 3 })
    expect(found.nll).toBeCloseTo(first[0] + second[0], 4)
    expect(found.kl).toBeCloseTo(first[1] + second[1], 4)
    expect(found.agreed).toBe(first[2] + second[2])
    expect(found.achieved.neurons).toBeCloseTo((first[3] + second[3]) / 2, 12)
  },
  { runs: casesAtTier(20, 100) },
)
stateLaw(knowsTheOther, evaluated(methodOf))

test('an oracle that has seen what is scored is found', () =>
  kills(
    knowsTheOther,
    evaluated((sparsity) => methodOf(sparsity, false)),
  ))

test('a window with one token to score has no halves', () =>
  expect(() => evaluated(methodOf)(Int32Array.of(1, 2, 3), 2, 0.5)).toThrow(
    'window: expected two scored tokens or more, of which one half chooses for the other, got 1',
  ))
