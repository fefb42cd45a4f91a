/**
 * A run on disk: a state comes back bit for bit, to a run of its own kind only; the curve is cut back to what the state
 * had seen.
 */
import fc from 'fast-check'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { openModelFolder } from '../../src/io/load.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { narrowToBf16, widenBf16 } from '../../src/tensor/halves.ts'
import {
  addToCurve,
  cutCurve,
  openCheckpoint,
  readCurve,
  saveCheckpoint,
  type RunIdentity,
} from '../../src/training/checkpoint.ts'
import { embeddedRecipe } from '../../src/training/pretrain_settings.ts'
import type { TrainerState } from '../../src/training/pretrain_trainer.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { configOf, type ModelCase } from '../engine/cases.ts'
import { someModel } from './pretrain_cases.ts'

const folder = temporaryFolder()

const identityOf = (model: ModelCase): RunIdentity => ({
  settings: { ...embeddedRecipe, rate: 0.1 + 0.2 },
  config: configOf(model),
  data: 'f00d',
})

function stateOf(model: ModelCase): TrainerState {
  const data = new Data(model.seed)
  const table = (): Map<string, HostTensor> =>
    new Map(
      [...parameterShapes(configOf(model))].map(([name, shape]) => {
        const values = data.floats(
          'values',
          shape.reduce((product, size) => product * size, 1),
          'wild',
        )
        return [name, { shape, values }]
      }),
    )
  return { step: data.below(10_000), weights: table(), means: table(), squares: table() }
}

type Save = typeof saveCheckpoint

async function read(identity: RunIdentity): Promise<TrainerState> {
  const checkpoint = await openCheckpoint(folder)
  try {
    return await checkpoint.read(identity)
  } finally {
    await checkpoint.close()
  }
}

const comesBack = lawForAll(
  'round-trips bit for bit, and its weights load as a model',
  { seed: fc.nat() },
  async (save: Save, { seed }) => {
    const model = { ...someModel, seed }
    const [state, identity] = [stateOf(model), identityOf(model)]
    await save(folder, state, identity)
    const mine = await read(identity)
    expect(mine.step).toBe(state.step)
    for (const kind of ['weights', 'means', 'squares'] as const)
      for (const [name, { values }] of state[kind])
        sameBits(`${kind} ${name}`, (mine[kind].get(name) as HostTensor).values, values)
    const { source } = await openModelFolder(join(folder, 'model.safetensors'))
    for (const [name, { values }] of state.weights) sameBits(name, await source.read(name), values)
    await source.close()
  },
  { runs: 10 },
)

beforeEach(() => writeFileSync(join(folder, 'config.json'), '{}'))

describe('a checkpoint', () => {
  stateLaw(comesBack, saveCheckpoint)

  const rounded = (tensors: ReadonlyMap<string, HostTensor>): Map<string, HostTensor> =>
    new Map(
      [...tensors].map(([name, tensor]) => [
        name,
        { ...tensor, values: widenBf16(narrowToBf16(tensor.values)) },
      ]),
    )
  killsEach('written by code that %s is found', comesBack, {
    rounds: (to, state, of) => saveCheckpoint(to, { ...state, squares: rounded(state.squares) }, of),
    'keeps one kind of moments': (to, state, of) =>
      saveCheckpoint(to, { ...state, squares: state.means }, of),
    'counts from 1': (to, state, of) => saveCheckpoint(to, { ...state, step: state.step + 1 }, of),
  })

  test('has norms of Gemma as Hugging Face does, without the 1 that is added to them', async () => {
    const llama = {
      groups: 1,
      pairs: 2,
      biases: false,
      rotary: { base: 10_000, scaling: null },
      epsilon: 1e-5,
    }
    const gemma: ModelCase = { ...someModel, llama: { ...llama, family: 'gemma3' } }
    const state = stateOf(gemma)
    await saveCheckpoint(folder, state, identityOf(gemma))
    const { source } = await openModelFolder(join(folder, 'model.safetensors'))
    for (const [name, { values, shape }] of state.weights) {
      const expected = shape.length === 1 ? values.map((value) => value - 1) : values
      sameBits(name, await source.read(name), expected)
      sameBits(name, ((await read(identityOf(gemma))).weights.get(name) as HostTensor).values, values)
    }
    await source.close()
  })

  test('is for a run of its own kind only', async () => {
    const identity = identityOf(someModel)
    await saveCheckpoint(folder, stateOf(someModel), identity)
    const { settings } = identity
    const refused = (other: RunIdentity, message: RegExp) =>
      expect(read(other)).rejects.toMatchObject({ code: 'RESUME', message: expect.stringMatching(message) })
    await refused({ ...identity, settings: { ...settings, seed: 7 } }, /^seed: expected 0, .*, got 7$/)
    await refused({ ...identity, config: configOf({ ...someModel, layers: 2 }) }, /^config: /)
    await refused({ ...identity, data: 'beef' }, /^text: /)
  })

  test('that is broken is refused by its fault', async () => {
    const identity = identityOf(someModel)
    await saveCheckpoint(folder, stateOf(someModel), identity)
    const path = join(folder, 'training.safetensors')
    const source = await openSafetensors(path)
    const about = Object.fromEntries(source.metadata)
    const tensors = new Map<string, TensorToWrite>()
    for (const [name, { dtype, shape }] of source.tensors)
      tensors.set(name, { dtype, shape, data: await source.readRaw(name) })
    await source.close()
    const refused = async (
      code: string,
      broken: Map<string, TensorToWrite>,
      says: Record<string, string>,
    ): Promise<void> => {
      await writeSafetensors(path, broken, says)
      await expect(read(identity)).rejects.toMatchObject({ code })
    }
    await refused('CHECKPOINT', tensors, { ...about, step: '-1' })
    await refused('CHECKPOINT', tensors, { ...about, settings: '{"steps": 4}' })
    await refused('CHECKPOINT', tensors, { step: about.step, settings: about.settings, config: about.config })
    const [first] = [...tensors.keys()].filter((name) => name.startsWith('means.'))
    const bent = new Map(tensors).set(first, { dtype: 'F32' as const, shape: [1], data: Float32Array.of(1) })
    await refused('TENSOR_SHAPE', bent, about)
    const without = new Map(tensors)
    without.delete(first)
    await refused('TENSOR_MISSING', without, about)
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.subarray(0, bytes.length - 4))
    await expect(read(identity)).rejects.toMatchObject({ exitCode: 3 })
  })
})

test('the curve is cut back to the steps of the checkpoint, including a line cut by a crash', async () => {
  const step = (step: number) => ({ step, loss: 5 - step, norm: 1, rate: 0.1, tokens: 8, seconds: 1 })
  const heldOut = (step: number) => ({ step, heldOut: 6 - step })
  const rows = [heldOut(0), step(1), step(2), heldOut(2), step(3)]
  expect(await readCurve(folder)).toEqual([])
  for (const row of rows) await addToCurve(folder, row)
  appendFileSync(join(folder, 'loss.jsonl'), '{"step":4,"lo')
  expect(await readCurve(folder)).toEqual(rows)
  await cutCurve(folder, 2)
  // What is due at a state is measured when the run goes on.
  expect(await readCurve(folder)).toEqual(rows.slice(0, 3))
  await cutCurve(folder, 0)
  expect(readFileSync(join(folder, 'loss.jsonl'), 'utf8')).toBe('')
})
