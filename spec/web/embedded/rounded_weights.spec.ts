/**
 * Rounded weights are near the whole ones, and the model with them is near the model.
 *
 * Tests src/web/embedded/embedded_model.ts and src/web/embedded/first_data.ts.
 */
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { logitsDivergence } from '../../../src/engine/divergence.ts'
import { encodeSafetensors, type TensorToWrite } from '../../../src/io/safetensors_writer.ts'
import { parseSafetensors } from '../../../src/io/safetensors.ts'
import { ShadowModel } from '../../../src/library/shadow_model.ts'
import { mountFolder } from '../../../src/platform/platform.ts'
import { narrowToF16, widenF16 } from '../../../src/tensor/halves.ts'
import { embeddedModelFiles, packedHere } from '../../../src/web/embedded/embedded_model.ts'
import { packWeights, unpackWeights } from '../../../src/web/embedded/rounded_weights.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

type RoundTrip = (file: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>

const roundTrip: RoundTrip = async (file) => unpackWeights(await packWeights(file))

const near = lawForAll(
  "a number of a matrix is within its block's scale of what it was; vectors, positions and other rows are unchanged",
  {
    rows: fc.integer({ min: 1, max: 4 }),
    blocks: fc.integer({ min: 1, max: 3 }),
    power: fc.integer({ min: -3, max: 4 }),
    data: fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 40, maxLength: 40 }),
  },
  async (trip: RoundTrip, { rows, blocks, power, data }) => {
    const I = 32 * blocks
    const numbers = (length: number): Float32Array =>
      widenF16(
        narrowToF16(Float32Array.from({ length }, (_, i) => data[(7 * i + (i >> 5)) % 40] * 10 ** power)),
      )
    const tensors = new Map<string, TensorToWrite>([
      ['fc1.weight', { dtype: 'F16', shape: [rows, I], data: numbers(rows * I) }],
      ['embed_positions.weight', { dtype: 'F16', shape: [rows, I], data: numbers(rows * I) }],
      ['fc1.bias', { dtype: 'F16', shape: [rows], data: numbers(rows) }],
      ['odd.weight', { dtype: 'F16', shape: [rows, 5], data: numbers(5 * rows) }],
    ])
    const back = await parseSafetensors(await trip(encodeSafetensors(tensors)))
    expect([...back.tensors.keys()].toSorted()).toEqual([...tensors.keys()].toSorted())
    for (const [name, { shape, data: before }] of tensors) {
      const after = await back.read(name)
      expect([name, back.tensors.get(name)?.shape]).toEqual([name, shape])
      if (name !== 'fc1.weight') expect([name, ...after]).toEqual([name, ...(before as Float32Array)])
    }
    const [before, after] = [tensors.get('fc1.weight')?.data as Float32Array, await back.read('fc1.weight')]
    for (let at = 0; at < before.length; at += 32) {
      const most = before.subarray(at, at + 32).reduce((far, x) => Math.max(far, Math.abs(x)), 0)
      const far = after
        .subarray(at, at + 32)
        .reduce((far, x, i) => Math.max(far, Math.abs(x - before[at + i])), 0)
      // A scale is rounded to half precision: by 2^-25 at most where it is subnormal, and it is taken 8 times.
      expect(far).toBeLessThanOrEqual((most / 7) * 1.01 + 8 * 2 ** -25)
    }
  },
)
stateLaw(near, roundTrip)

/** Changes the first matrix of what comes back. */
const changed =
  (change: (data: Float32Array) => Float32Array): RoundTrip =>
  async (file) => {
    const back = await parseSafetensors(await roundTrip(file))
    const tensors = new Map<string, TensorToWrite>()
    for (const [name, { shape }] of back.tensors) {
      const data = await back.read(name)
      tensors.set(name, { dtype: 'F32', shape, data: name === 'fc1.weight' ? change(data) : data })
    }
    return encodeSafetensors(tensors)
  }

killsEach('a rounding that %s is found', near, {
  'exchanges the two numbers of a byte': changed((data) => data.map((_, i) => data[i ^ 1])),
  'forgets that numbers may be negative': changed((data) => data.map(Math.abs)),
  'shifts the blocks by one number': changed((data) => data.map((_, i) => data[Math.max(0, i - 1)])),
})

let opened: ShadowModel[] = []
afterAll(async () => {
  for (const opt of opened) await opt.dispose()
  opened = []
})

test('the embedded model with rounded weights is within 0.05 nats of the whole one', async () => {
  const open = async (weights: 'rounded' | 'whole'): Promise<ShadowModel> => {
    const folder = mountFolder(`embedded-${weights}`, await embeddedModelFiles(weights))
    const opt = await ShadowModel.fromPretrained(folder)
    opened.push(opt)
    return opt
  }
  const [rounded, whole] = [await open('rounded'), await open('whole')]
  const ids = Int32Array.from(
    whole.encode('Once upon a time, there was a little girl who lived in the forest', { prefix: true }),
  )
  const V = whole.config.vocabulary
  const [sparse, dense] = [await rounded.forward(ids), await whole.forward(ids)].map(
    ({ logits }) => logits.data,
  )
  const kls = Array.from(ids, (_, t) =>
    logitsDivergence(dense.subarray(t * V, t * V + V), sparse.subarray(t * V, t * V + V)),
  )
  const mean = kls.reduce((sum, kl) => sum + kl, 0) / kls.length
  expect(mean).toBeGreaterThan(0.001) // they are rounded
  expect(mean).toBeLessThan(0.05)
})

test('without a build the weights are rounded once, for the model and for the file of a page', async () => {
  const [packed, files] = await Promise.all([packedHere(), embeddedModelFiles()])
  expect(await packedHere()).toBe(packed)
  const opened = new Uint8Array((await files.get('model.safetensors')?.arrayBuffer()) ?? [])
  expect(Buffer.compare(await unpackWeights(packed), opened)).toBe(0)
})
