/**
 * What compensation refuses: planners and prompts that cannot have it, settings without effect, and moments that are missing.
 *
 * Tests src/compensation/open_moments.ts and src/masks/compensation.ts.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compensationBy } from '../../src/compensation/compensate.ts'
import { holdMoments, momentPaths } from '../../src/compensation/open_moments.ts'
import { compensateOption, promptShareOption, ridgeOption } from '../../src/masks/compensation.ts'
import { denseMask } from '../../src/masks/mask.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import { makeMethod, planMethod, type Method } from '../../src/results/method.ts'
import { useSmallModel } from '../evaluation/small_model.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { randomMoments } from './random_moments.ts'

const small = useSmallModel('reference')
const top = temporaryFolder()

test.each([
  [compensateOption, 'zeros'],
  [ridgeOption, -1],
  [ridgeOption, Infinity],
  [promptShareOption, 1.5],
  [promptShareOption, NaN],
])('%o does not take %o', (option, value) => expect(option.holds(value)).toBe(false))

test.each([
  ['COMPENSATE', { planner: 'cats', compensate: 'mean' }],
  ['COMPENSATE', { planner: 'teal', compensate: 'least-squares' }],
  ['COMPENSATE', { planner: 'random', ridge: 1 }],
  ['COMPENSATE', { planner: 'random', compensate: 'mean', ridge: 1 }],
  ['COMPENSATE', { planner: 'random', promptShare: 0.2 }],
  ['PREFILL', { planner: 'random', compensate: 'mean', promptShare: 0.2, prefill: 'masked' }],
] as const)('%s: a method of %j', (code, given) => {
  const { model } = small.source()
  const moments = randomMoments(model, 1)
  const method = makeMethod({ sparsity: 0.5, ...given } as Method)
  expect(() => planMethod(model, method, { moments })).toThrow(expect.objectContaining({ code }))
})

test('PLANNER_SOURCE: a method that compensates, without moments', () => {
  const { model } = small.source()
  const method = makeMethod({ planner: 'random', sparsity: 0.5, compensate: 'mean' })
  expect(() => planMethod(model, method, {})).toThrow(expect.objectContaining({ code: 'PLANNER_SOURCE' }))
})

test('a dense method is not compensated', () => {
  const { model } = small.source()
  const method = makeMethod({ planner: 'dense', sparsity: 0, compensate: 'mean', ridge: 1, promptShare: 1 })
  expect(method).toEqual(makeMethod({ planner: 'dense', sparsity: 0 }))
  expect(planMethod(model, method, {})).toBeNull()
})

test('sequences refuse a share of a prompt that is masked, and to be saved with one', () => {
  const { model } = small.source()
  const compensation = compensationBy(randomMoments(model, 1), { by: 'mean', promptShare: 0.5 })
  const mask = denseMask(model.shape)
  expect(() => model.begin({ mask, compensation })).toThrow(expect.objectContaining({ code: 'COMPENSATE' }))
  const planner = { ...randomPlanner(model.shape, makeBudget(0.5), 1), compensation }
  expect(() => model.begin({ planner })).toThrow(expect.objectContaining({ code: 'COMPENSATE' }))
  const sequence = model.begin({ planner: { ...planner, prefill: 'dense' } })
  sequence.feed(Int32Array.of(1, 2, 3))
  expect(() => sequence.state()).toThrow(expect.objectContaining({ code: 'SESSION' }))
  sequence.dispose()
})

test('MOMENTS_MISSING: no place, and a calibration without them', async () => {
  const { model } = small.source()
  const code = { code: 'MOMENTS_MISSING' }
  await expect(momentPaths({ calibration: null, files: [] }, 'static')).rejects.toMatchObject(code)
  await expect(momentPaths({ calibration: top, files: ['x'] }, 'static')).rejects.toMatchObject(code)
  expect(await momentPaths({ calibration: null, files: ['x'] }, 'static')).toEqual(['x'])
  const missing = { calibration: null, files: [join(top, 'none')] }
  await expect(holdMoments(model, missing, 'static')).rejects.toMatchObject({ code: 'FILE_MISSING' })
})
