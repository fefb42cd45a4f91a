/**
 * The loops that benches compile give the right numbers: what is fast and wrong is no yardstick.
 */
import { describe, expect, test } from 'vitest'
import { openArithmetic } from '../../bench/arithmetic.ts'
import { compileLoops } from '../../bench/compile.ts'
import { openProducts } from '../../bench/products.ts'
import { probeWasm } from '../../src/platform/wasm_features.ts'

describe('loops of benches', () => {
  test('all compile, and multiply-adds in registers run', async () => {
    await compileLoops('read_stream')
    for (const { run } of await openArithmetic()) expect(run).not.toThrow()
  }, 60_000)

  test.skipIf(!probeWasm().relaxedSimd)(
    'products of activations of 16 bits, in planes and of seven bits are those of whole numbers',
    async () => {
      const [R, T, I] = [4, 12, 48]
      const weight = Int8Array.from({ length: R * I }, (_, i) => ((i * 89) % 255) - 127)
      const activations = Int8Array.from({ length: T * I }, (_, i) => ((i * 53) % 127) - 63)
      const sum = (r: number, t: number, moved: number): number => {
        let total = 0
        for (let i = 0; i < I; i++) total += weight[r * I + i] * (activations[t * I + i] + moved)
        return total
      }
      const moves = { wide: 0, planes: 8192, single: 64 }
      for (const { name, run } of await openProducts({ R, T, I }, weight, activations)) {
        const expected = Int32Array.from({ length: R * T }, (_, at) =>
          sum(Math.floor(at / T), at % T, moves[name]),
        )
        expect(run(), name).toEqual(expected)
      }
    },
    60_000,
  )
})
