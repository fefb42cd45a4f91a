/**
 * The one stream of a CUDA device: copies of any size and number keep their order, whatever becomes of the caller's arrays
 * afterwards; and the device's own clock.
 *
 * Tests src/backends/cuda/stopwatch.ts.
 */
import { describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import type { Backend } from '../../../src/backends/backend.ts'
import { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import type { CallName } from '../../../src/backends/cuda/driver.ts'
import { overCudaBackends } from '../../harness/backends.ts'
import { meddle, withOwnEmulator } from './emulator.ts'

/** Bytes that are far more than are kept on their way at once. */
const MANY = 2 ** 20

/** Many small copies, and one that is large, arrive as they were when they were given. @throws Error if not */
function copiesArrive(backend: Backend): void {
  const pieces = 64
  const length = MANY / pieces / Float32Array.BYTES_PER_ELEMENT
  const whole = backend.upload(new Float32Array(pieces * length))
  const large = new Float32Array(pieces * length).fill(-1)
  const other = backend.upload(large)
  large.fill(NaN)
  const piece = new Float32Array(length)
  for (let n = 0; n < pieces; n++) {
    piece.fill(n)
    backend.write(whole, piece, n * length)
  }
  // Over what came before.
  backend.write(whole, Float32Array.of(0.5), 1)
  piece.fill(NaN)
  const [values, others] = [backend.readF32(whole), backend.readF32(other)]
  backend.free(whole)
  backend.free(other)
  for (let i = 0; i < values.length; i++) {
    const expected = i === 1 ? 0.5 : Math.floor(i / length)
    if (values[i] !== expected) throw new Error(`copy[${i}]: expected ${expected}, got ${values[i]}`)
    if (others[i] !== -1) throw new Error(`large[${i}]: expected -1, got ${others[i]}`)
  }
}

/** Lets milliseconds pass. */
function pass(milliseconds: number): void {
  for (const start = performance.now(); performance.now() - start < milliseconds;);
}

/**
 * The clock starts at 0, counts what is computed and nothing else, and never more than passed meanwhile.
 * @throws Error if not
 */
function clockCounts(backend: Backend): void {
  const clock = (): number => backend.deviceTime?.() ?? NaN
  const x = backend.upload(new Float32Array(4096).fill(1))
  clock()
  pass(20)
  const begun = performance.now()
  for (let n = 0; n < 9; n++) backend.ops.exp(x, x)
  backend.readF32(x)
  backend.ops.exp(x, x)
  const computed = clock()
  const passed = performance.now() - begun
  const idle = clock()
  backend.readF32(x)
  backend.write(x, Float32Array.of(1))
  backend.readF32(x)
  const copied = clock()
  backend.free(x)
  if (!(computed > 0 && computed <= passed))
    throw new Error(`clock: expected 0 to ${passed}, got ${computed}`)
  if (idle !== 0 || copied !== 0)
    throw new Error(`clock: expected 0 of nothing computed, got ${idle}, ${copied}`)
}

overCudaBackends((backend) => {
  test('copies of any size arrive in order, with the values at the time of the call', () =>
    copiesArrive(backend))

  test('the clock of the device counts computation, and at most the elapsed time', () => clockCounts(backend))
})

const missing = await whyNoEmulator()

describe.skipIf(missing !== null)(
  `emulated${missing === null ? '' : `, which needs g++: ${missing}`}`,
  () => {
    /** Judges a law of a backend whose driver leaves a call out. */
    async function without(
      call: CallName,
      law: (backend: Backend) => void,
      when: (...args: unknown[]) => boolean,
    ): Promise<void> {
      await withOwnEmulator(async (emulator) => {
        const driver = meddle(await emulator.driver(), call, (args, proceed) => {
          if (!when(...args)) proceed(...args)
        })
        const backend = await CudaBackend.on(driver, 'cuda-emulated')
        try {
          law(backend)
        } finally {
          backend.dispose()
        }
      })
    }

    test('a mutant whose events are never recorded: killed', async () => {
      const broken = without('cuEventRecord', clockCounts, () => true)
      await expect(broken).rejects.toThrow(/^cuEventElapsedTime: .*CUDA_ERROR_INVALID_HANDLE/)
    })

    test('a mutant that records the second event alone again: killed', async () => {
      let records = 0
      // Its time is too long by what passed before. One try of twenty in which this process is not held up shows it.
      const often = (backend: Backend): void => {
        for (let i = 0; i < 20; i++) clockCounts(backend)
      }
      const broken = without('cuEventRecord', often, () => ++records > 2 && records % 2 === 1)
      await expect(broken).rejects.toThrow(/^clock: expected 0 to/)
    })

    test('a mutant that reads the time before it waits: killed', async () => {
      const broken = without('cuStreamSynchronize', clockCounts, () => true)
      await expect(broken).rejects.toThrow(/^cuEventElapsedTime: .*CUDA_ERROR_NOT_READY/)
    })

    test('a mutant that overwrites a pending copy: killed', async () => {
      let waits = 0
      // The large copies, and reading, still wait.
      const broken = without('cuStreamSynchronize', copiesArrive, () => ++waits > 2 && waits < 6)
      await expect(broken).rejects.toThrow(/^copy\[\d+\]: expected/)
    })
  },
)

test.skipIf(missing !== null)(
  `two devices in one process do not wait for each other${missing === null ? '' : `: ${missing}`}`,
  async () => {
    await withOwnEmulator(async ({ driver, held }) => {
      const [one, other] = [
        await CudaBackend.on(await driver(), 'cuda-emulated'),
        await CudaBackend.on(await driver(), 'cuda-emulated'),
      ]
      // Work of the first is under way while the second takes memory and gives it back.
      const x = one.upload(Float32Array.of(-1, 2))
      one.ops.relu(x, x)
      const y = other.upload(Float32Array.of(-3, 4))
      other.ops.relu(y, y)
      expect(other.readF32(y)).toEqual(Float32Array.of(0, 4))
      other.free(y)
      other.dispose()
      expect(one.readF32(x)).toEqual(Float32Array.of(0, 2))
      one.dispose()
      expect(Object.values(held()).every((count) => count === 0)).toBe(true)
    })
  },
)
