/**
 * `shadowllm bench` on a device: the time of the device is shown beside wall time.
 */
import { describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import type { BenchRow } from '../../../src/bench/rows.ts'
import { tinyFolder, type CliResult } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'

const noEmulator = await whyNoEmulator()
const tiny = ['-m', tinyFolder, '--test', 'pp3,tg2@4', '--rounds', '2', '--sparsity', '0.5']

const run = (args: readonly string[]): Promise<CliResult> => runInside(['bench', ...args])

describe.skipIf(noEmulator !== null)(
  `on an emulated device${noEmulator === null ? '' : `, which needs g++: ${noEmulator}`}`,
  () => {
    const emulated = [...tiny, '--backend', 'cuda-emulated', '--planner', 'dense']

    test('shows the time of the device beside wall time, and names the device', async () => {
      const { stdout, stderr } = await run(emulated)
      expect(stderr).toBe('')
      expect(stdout).toMatch(/ device \(ms per token\) /)
      expect(stdout).toMatch(
        /^Device: emulated on this processor, .*; launches that come again as graphs\.$/m,
      )
    })

    test('--no-graphs is reported; the time of the device is at most wall time', async () => {
      const { stdout } = await run([...emulated, '--no-graphs'])
      expect(stdout).toMatch(/; every launch by itself\.$/m)
      const { rows, provenance } = JSON.parse((await run([...emulated, '--no-graphs', '--json'])).stdout) as {
        rows: BenchRow[]
        provenance: object
      }
      for (const { deviceMilliseconds, samples } of rows) {
        expect(deviceMilliseconds).toBeGreaterThan(0)
        expect(deviceMilliseconds).toBeLessThanOrEqual(1000 / Math.min(...samples))
      }
      expect(provenance).toMatchObject({ device: expect.stringMatching(/^emulated on this processor, /) })
    })
  },
)
