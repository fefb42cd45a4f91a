/**
 * The bench's torch file is one: every tensor comes back from it as it was described.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writeTorch, type TorchForm } from '../../bench/torch_writer.ts'
import { openTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { elementSize } from '../../src/tensor/dtypes.ts'
import { contentsOf } from '../io/hostile.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

test('a torch file round-trips through its bytes', async () => {
  const forms = new Map<string, TorchForm>([
    ['a', { dtype: 'F32', shape: [3, 2] }],
    ['model.decoder.layers.10.fc1.weight', { dtype: 'F16', shape: [70, 300] }],
    ['empty', { dtype: 'BF16', shape: [0] }],
    ['one', { dtype: 'F64', shape: [] }],
  ])
  const expected = [...forms].map(([name, { dtype, shape }]) => {
    const length = elementSize(dtype) * shape.reduce((product, size) => product * size, 1)
    return { name, dtype, shape, bytes: Uint8Array.from({ length }, (_, i) => (7 * i) % 251) }
  })
  const path = join(folder, 'pytorch_model.bin')
  await writeTorch(path, forms, async function* (name) {
    const { bytes } = expected.find((tensor) => tensor.name === name) as (typeof expected)[number]
    for (let done = 0; done < bytes.length; done += 1000) yield bytes.subarray(done, done + 1000)
  })
  expect((await contentsOf(openTorchCheckpoint(path))).tensors).toEqual(expected)
})
