/**
 * The cases of cuda/certify cover every op and every kernel. cuda_certify.full.spec.ts makes them again.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { partsIn, readBundle } from '../../scripts/cuda/certify/bundle.ts'
import { generate } from '../../scripts/cuda/certify/generated.ts'
import { checkKernels, kernelSets } from '../../scripts/cuda/certify/sets.ts'
import { modulePath } from '../../scripts/cuda/module.ts'
import { kernelNames } from '../../src/ops/catalog.ts'
import { hashPlaces } from '../../src/results/method_hash.ts'

describe('the bundle', () => {
  test('has cases for every op of the catalogue and every kernel of the module', () => {
    const module = readFileSync(modulePath, 'utf8')
    const text = Buffer.from(readBundle()).toString('latin1')
    const ops = [...text.matchAll(/^op (\w+) b(?:its|ound)$/gm)].map((found) => found[1])
    expect(ops).toEqual(kernelSets.flatMap((set) => set.ops))
    expect(() => checkKernels(module)).not.toThrow()
    expect(ops).toEqual(expect.arrayContaining([...kernelNames]))
    const stray = `${module}.visible .entry add_odd(\n)\n`
    expect(() => checkKernels(stray)).toThrow('expected kernels of a known set, got add_odd')
  })

  test('is of the definitions and kernels that stand here', async () => {
    const head = Buffer.from(readBundle()).toString('latin1')
    const kernels = createHash('sha256').update(readFileSync(modulePath)).digest('hex')
    expect(head, 'run `npm run build:made` and commit the result').toContain(
      `"definitions":"${await hashPlaces(['ops'])}","kernels":"${kernels}"`,
    )
  })

  test('is small enough to be kept', () => {
    expect(statSync(partsIn().data).size).toBeLessThan(300_000)
  })

  test('numbers that follow from a seed are spread over their range, the same each time', () => {
    const numbers = new Float32Array(4096)
    generate(numbers, 'f32', { kind: 'numbers', seed: 1 })
    expect(Math.min(...numbers)).toBeLessThan(-1.99)
    expect(Math.max(...numbers)).toBeGreaterThan(1.99)
    expect(Math.abs(numbers.reduce((sum, x) => sum + x, 0) / numbers.length)).toBeLessThan(0.1)
    expect(new Set(numbers).size).toBeGreaterThan(4000)
    const units = new Int32Array(384)
    generate(units, 'i32', { kind: 'spread', limit: 768 })
    expect([...units]).toEqual(Array.from({ length: 384 }, (_, i) => 2 * i))
  })
})
