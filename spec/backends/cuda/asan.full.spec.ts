/**
 * With the address sanitizer in it the emulator stops a kernel where it reads past a buffer, whatever it does with what it
 * reads. `npm run test:cuda-asan` runs the laws of the ops so.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { buildEmulator } from '../../../scripts/cuda/emulator.ts'
import { sanitizerLibrary } from '../../../scripts/cuda/sanitizer.ts'
import { root, type Plant } from '../../../scripts/sources.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'

const library = await sanitizerLibrary()
const folder = temporaryFolder()

/** Builds an emulator with the sanitizer, and runs the probe on it. */
async function probe(name: string, plant?: Plant): Promise<{ stdout: string; stderr: string }> {
  const output = join(folder, `${name}.so`)
  const part = { file: 'linear_input_major.cu', ops: ['linear_input_major'] } as const
  await buildEmulator({ output, asan: true, part, plant })
  const { NODE_OPTIONS: _, ...environment } = process.env
  return promisify(execFile)(process.execPath, ['spec/backends/cuda/probe.ts', output], {
    cwd: root,
    env: { ...environment, ...library.environment },
  })
}

describe.skipIf(library.missing !== null)(
  `with the sanitizer${library.missing === null ? '' : `, which is not here: ${library.missing}`}`,
  () => {
    test('a kernel that stays inside its buffers passes', async () => {
      expect((await probe('whole')).stdout).toBe('22 28\n')
    })

    test('a kernel that reads past a buffer is found, with the line', async () => {
      const plant = {
        file: 'linear_input_major.cu',
        from: 'y[output] = bias',
        to: 'sum = add(sum, mul(0, x[count])), y[output] = bias',
      }
      await expect(probe('broken', plant)).rejects.toMatchObject({
        stderr: expect.stringMatching(/AddressSanitizer: heap-buffer-overflow[^]*linear_input_major\.cu/),
      })
    })
  },
)
