/**
 * Laws of how weights are held: rounded to a storage, and spread over several backends.
 *
 * What rounding does to a model is a matter of measuring (`shadowllm inspect --storage`). What it does not do is a law:
 * a model in half precision is the float32 model of the rounded weights, bit for bit; and whatever the storage, masks mean
 * what they mean, tokens stay apart, and a model in parts is the model.
 */
import fc from 'fast-check'
import { parameterShapes } from '../../engine/names.ts'
import { isInputMajor, storageOf } from '../../engine/weight_layout.ts'
import { storages, type Storage } from '../../engine/matrix.ts'
import {
  dequantizeRows,
  narrowToBf16,
  narrowToF16,
  quantizeRows,
  widenBf16,
  widenF16,
} from '../../tensor/dtypes.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import {
  anyModel,
  configOf,
  feedOnce,
  forAll,
  maskOf,
  roomyModel,
  tensorsOf,
  tokensOf,
  withModel,
  type ModelCase,
} from './cases.ts'
import { promptAndSteps, zeroed } from './mask_laws.ts'

const anyStorage = fc.constantFrom(...storages)

/** Weights rounded to a storage, as float32. int8 has a scale for each row as it is held. */
function roundedTensors(model: ModelCase, storage: Storage): Map<string, HostTensor> {
  const tensors = tensorsOf(model)
  for (const [name, shape] of parameterShapes(configOf(model))) {
    const { values } = tensors.get(name) as HostTensor
    const own = storageOf(name, shape, storage)
    if (own === 'bf16') tensors.set(name, { shape, values: widenBf16(narrowToBf16(values)) })
    if (own === 'f16') tensors.set(name, { shape, values: widenF16(narrowToF16(values)) })
    if (own === 'int8') tensors.set(name, { shape, values: roundedToInt8(name, shape, values) })
  }
  return tensors
}

function roundedToInt8(name: string, [O, I]: readonly number[], values: Float32Array): Float32Array {
  if (!isInputMajor(name)) return dequantizeRows(quantizeRows(values, O, I))
  const turned = (x: Float32Array, rows: number, columns: number): Float32Array =>
    Float32Array.from({ length: x.length }, (_, n) => x[(n % rows) * columns + Math.floor(n / rows)])
  return turned(dequantizeRows(quantizeRows(turned(values, O, I), I, O)), I, O)
}

export const storageLaws = {
  halfIsRounded: forAll(
    'bf16 and f16 = float32 with the weights rounded to them, bit for bit',
    [anyModel, fc.constantFrom<Storage>('bf16', 'f16')],
    async (subject, model, storage) => {
      const tokens = tokensOf(model, new Data(model.seed))
      let expected = new Float32Array(0)
      await withModel(
        subject,
        model,
        (rounded) => void (expected = feedOnce(rounded, tokens).slice()),
        roundedTensors(model, storage),
      )
      await withModel(subject, model, (held) => sameBits(storage, feedOnce(held, tokens), expected), {
        storage,
      })
    },
  ),

  int8IsNearRounded: forAll(
    'int8 is near float32 with the weights rounded to it: activations keep at least twelve bits',
    [roomyModel],
    async (subject, sizes) => {
      const model = { ...sizes, cache: 'f32' } as const
      const tokens = tokensOf(model, new Data(model.seed))
      let expected = new Float32Array(0)
      await withModel(
        subject,
        model,
        (rounded) => void (expected = feedOnce(rounded, tokens).slice()),
        roundedTensors(model, 'int8'),
      )
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      await withModel(
        subject,
        model,
        (held) => near('int8', feedOnce(held, tokens), expected, 5e-3 * largest),
        { storage: 'int8' },
      )
    },
  ),

  masksInEveryStorage: forAll(
    "packed = skipped bit for bit, and = simulated = dense with those units' weights zeroed, in every storage",
    [anyModel, anyStorage],
    async (subject, model, storage) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const prompt = data.integer(1, tokens.length)
      const mask = maskOf(model, data)
      let skipped = new Float32Array(0)
      await withModel(
        subject,
        model,
        (held) => {
          skipped = promptAndSteps(held, tokens, prompt, { mask, mode: 'skip' }).slice()
          sameBits('packed', promptAndSteps(held, tokens, prompt, { mask, mode: 'pack' }), skipped)
          sameNumbers('simulated', promptAndSteps(held, tokens, prompt, { mask, mode: 'simulate' }), skipped)
        },
        { storage },
      )
      await withModel(
        subject,
        model,
        (dense) => sameNumbers('zeroed', promptAndSteps(dense, tokens, prompt, {}), skipped),
        { storage, tensors: zeroed(model, mask) },
      )
    },
  ),

  stepsInEveryStorage: forAll(
    'a cached step = the full pass, bit for bit, in every storage',
    [anyModel, anyStorage],
    (subject, model, storage) =>
      withModel(
        subject,
        model,
        (held) => {
          const tokens = tokensOf(model, new Data(model.seed))
          sameBits('logits', promptAndSteps(held, tokens, 1, {}), feedOnce(held, tokens))
        },
        { storage },
      ),
  ),

  pastFollowsWeights: forAll(
    'the past is kept as int8 where weights are and as float32 elsewhere, unless one says so',
    [anyModel, anyStorage],
    (subject, model, storage) =>
      withModel(
        subject,
        model,
        (held) => {
          const tokens = tokensOf(model, new Data(model.seed))
          const named = promptAndSteps(held, tokens, 1, { cache: storage === 'int8' ? 'int8' : 'f32' })
          sameBits('logits', promptAndSteps(held, tokens, 1, {}), named)
        },
        { storage },
      ),
  ),

  splitIsWhole: forAll(
    'a model spread over several backends = the model in one, bit for bit, dense and under a mask',
    [anyModel, anyStorage, fc.nat(3000)],
    async (subject, model, storage, bytesPerBackend) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const prompt = data.integer(1, tokens.length)
      const mask = maskOf(model, data)
      const mode = data.pick(['skip', 'pack', 'simulate'] as const)
      const run = (held: Parameters<typeof feedOnce>[0]): Float32Array[] => [
        promptAndSteps(held, tokens, prompt, {}),
        promptAndSteps(held, tokens, prompt, { mask, mode }),
      ]
      let whole: Float32Array[] = []
      await withModel(subject, model, (held) => void (whole = run(held)), { storage })
      await withModel(
        subject,
        model,
        (held) => run(held).forEach((logits, i) => sameBits(i === 0 ? 'dense' : mode, logits, whole[i])),
        { storage, bytesPerBackend },
      )
    },
  ),
}
