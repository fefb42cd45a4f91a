/**
 * The trial of the wide build: one with other bits is refused by the name of a kernel, and nothing stays changed.
 *
 * Tests src/backends/wide.ts and src/platform/compiler_flags.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { root } from '../../scripts/sources.ts'
import type { Backend } from '../../src/backends/backend.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { allowWide, isWideUsed, mayTryWide, wideReport } from '../../src/backends/wide.ts'
import { canJoinVectors, whileOptimizing } from '../../src/platform/platform.ts'
import { tryWide } from '../../src/testing/wide_trial.ts'

const moduleOf = (name: string): WebAssembly.Module =>
  new WebAssembly.Module(readFileSync(join(root, 'src/backends/wasm', `${name}.wasm`)))

const start = (module: WebAssembly.Module): Backend => new WasmBackend(module)
const backendOf = (name: string): Backend => start(moduleOf(name))

afterEach(() => allowWide(null))

describe('a trial', () => {
  test.skipIf(!canJoinVectors())('refuses kernels with other bits, and names one', () =>
    expect(tryWide(backendOf('kernels_bytes'), backendOf('kernels_relaxed'))).toMatch(
      /^(linear|attention)\w*: other bits than with vectors of 16 bytes$/,
    ),
  )

  test.skipIf(!canJoinVectors())('finds no other bits in the committed build', () =>
    // How fast it is here is not judged.
    expect(tryWide(backendOf('kernels_bytes'), backendOf('kernels_wide')) ?? '').not.toContain('bits'),
  )

  test.skipIf(!canJoinVectors())('gives what its work gives, or throws what it throws', () => {
    expect(whileOptimizing(true, () => 7)).toBe(7)
    expect(() =>
      whileOptimizing(false, () => {
        throw new RangeError('within')
      }),
    ).toThrow('within')
  })
})

describe('the wide build', () => {
  const plain = moduleOf('kernels')

  test('is not used unless somebody allows it', () => {
    expect(mayTryWide()).toBe(false)
    expect(isWideUsed(plain, moduleOf('kernels_wide'), start)).toBe(false)
    expect(wideReport()).toEqual({ used: false, reason: 'not asked for' })
  })

  test.each([null, 'linear: other bits'])('is used if its trial says %s, which is made once', (reason) => {
    let trials = 0
    allowWide(() => {
      trials++
      return reason
    })
    expect(mayTryWide()).toBe(true)
    const wide = moduleOf('kernels_wide')
    for (let time = 0; time < 2; time++) expect(isWideUsed(plain, wide, start)).toBe(reason === null)
    expect(trials).toBe(1)
    expect(wideReport()).toEqual({ used: reason === null, reason })
  })

  test('a backend computes by it, on one thread and on two', async () => {
    const { createBackend } = await import('../../src/backends/select.ts')
    for (const threads of [1, 2]) {
      let tried = ''
      allowWide((one, other) => {
        const [bits, same] = [one, other].map((backend) => {
          const x = backend.upload(Float32Array.of(-1, 2))
          backend.ops.relu(x, x)
          return [...backend.readF32(x)].join()
        })
        tried = `${bits} ${same}`
        return null
      })
      const backend = await createBackend('wasm', { threads })
      backend.dispose()
      if (tried !== '') expect(tried).toBe('0,2 0,2')
      expect(wideReport()).toEqual({ used: true, reason: null })
    }
  })
})
