/**
 * One model, every form a checkpoint comes in: safetensors whole, in shards, under shorter names, a torch file of
 * either format, each in the precisions there are.
 *
 * Every form gives the bits of the float32 file, its weights rounded first where the form is of half precision. The
 * expected logits were computed from the float32 weights, so half-precision forms are held to a looser bound of theirs,
 * stated here: rounding moves a weight by up to 2^-11 of itself in F16, 2^-8 in BF16.
 */
import { describe, expect, test } from 'vitest'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { openShards } from '../../src/io/shard_index.ts'
import { openTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { decodeFloats } from '../../src/tensor/dtypes.ts'
import { narrowToBf16, narrowToF16, widenBf16, widenF16 } from '../../src/tensor/halves.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { overBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import {
  fixtures,
  get,
  getIds,
  optVariants,
  readCase,
  tolerance,
  worstError,
  type OptVariant,
} from './golden.ts'
import { goldenSource, withGolden } from './model.ts'

/** How far logits may be off when the weights were rounded. */
const half = { F16: 0.02, BF16: 0.15 } as const

/** Weights as they come back from half precision. */
const rounding = {
  F16: (values: Float32Array) => widenF16(narrowToF16(values)),
  BF16: (values: Float32Array) => widenBf16(narrowToBf16(values)),
} as const

interface Form {
  readonly file: string
  readonly variants: readonly OptVariant[]
  readonly open: (path: string) => Promise<TensorSource>
  readonly rounded?: keyof typeof half
}

const forms: readonly Form[] = [
  { file: 'model.safetensors', variants: optVariants, open: openSafetensors },
  {
    file: 'model.safetensors.index.json',
    variants: optVariants,
    open: (path) => openShards(path, '.safetensors', openSafetensors),
  },
  { file: 'pytorch_model.bin', variants: optVariants, open: openTorchCheckpoint },
  { file: 'pytorch_model.legacy.bin', variants: ['preln'], open: openTorchCheckpoint },
  { file: 'pytorch_model.fp16.bin', variants: ['preln'], open: openTorchCheckpoint, rounded: 'F16' },
  { file: 'model.noprefix.safetensors', variants: ['preln'], open: openSafetensors },
  { file: 'model.fp16.safetensors', variants: optVariants, open: openSafetensors, rounded: 'F16' },
  { file: 'model.bf16.safetensors', variants: ['preln'], open: openSafetensors, rounded: 'BF16' },
]

overBackends((backend) => {
  for (const form of forms)
    describe(form.file, () => {
      for (const variant of form.variants)
        test(variant, async () => {
          const tensors = readCase(variant, 'single')
          const tokens = getIds(tensors, 'input_ids')
          const logitsFrom = async (source: TensorSource): Promise<Float32Array> => {
            let logits = new Float32Array(0)
            await withGolden(
              variant,
              backend,
              (model) => {
                const sequence = model.begin()
                logits = sequence.feed(tokens, 'all').slice()
                sequence.dispose()
              },
              source,
            )
            return logits
          }
          const source = await form.open(`${fixtures}golden/${variant}/${form.file}`)
          const logits = await logitsFrom(source)
          await source.close()
          const error = worstError(logits, get(tensors, 'logits').values)
          expect(error).toBeLessThanOrEqual(form.rounded ? half[form.rounded] : tolerance.logits)
          const source32 = goldenSource(variant)
          const { rounded } = form
          if (rounded) {
            const stream = source32.stream.bind(source32)
            source32.stream = async function* (...which) {
              for await (const { first, bytes } of stream(...which))
                yield {
                  first,
                  bytes: new Uint8Array(rounding[rounded](decodeFloats('F32', bytes, 'x')).buffer),
                }
            }
          }
          sameBits('logits', logits, await logitsFrom(source32))
        })
    })
})
